"""What the stack refuses to do."""


class StackError(Exception):
    """The stack cannot do what was asked; the message is one sentence with its remedy."""
