"""What a kill point is called, by those who order one and by the worker that dies at it."""

CRASH_FOLDER = "TEST_CRASH_FOLDER"
"""The variable that names the folder of the points: `armed` and, once somebody died, `hit`."""
SWEEP = "collection-sweep"


def point_name(workflow_id: str, deed: str, place: str) -> str:
    """The file of a kill point.

    `deed`: the activity, and the kind of e-mail behind a slash; `place`: `begun`, `done`, or an
    effect with `:before` or `:after`, such as `transaction 2:before`.
    """
    subject = SWEEP if workflow_id.startswith(SWEEP) else workflow_id
    return f"{subject} {deed} {place}".replace("/", "~")
