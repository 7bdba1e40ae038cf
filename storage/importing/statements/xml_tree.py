"""XML from strangers, an element at a time, with the line of each.

Read by Expat without a DTD: a document type is refused where it begins, so there are no entities
to expand and nothing to fetch. What is kept at any time is bounded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from storage.importing.statements.model import LONGEST_TEXT, Place

DEEPEST = 40
MOST_ELEMENTS = 2_000_000
MOST_KEPT = 300_000


@dataclass(slots=True)
class Element:
    """An element by its local name; `space` is its namespace."""

    name: str
    space: str
    line: int
    attributes: dict[str, str]
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def all(self, path: str) -> Iterator["Element"]:
        """The descendants along `path`, such as "NtryDtls/TxDtls", in the order of the file."""
        name, _, rest = path.partition("/")
        for child in self.children:
            if child.name == name and child.space == self.space:
                if rest:
                    yield from child.all(rest)
                else:
                    yield child

    def first(self, *paths: str) -> "Element | None":
        """The first descendant along the first of `paths` that leads anywhere."""
        return next((found for path in paths for found in self.all(path)), None)

    def text_of(self, *paths: str) -> str:
        """The text of `first`, without blanks around it; "" if there is none."""
        found = self.first(*paths)
        return found.text.strip() if found is not None else ""


class XmlReader:
    """Hands out the elements directly inside each `container`, each once it is complete.

    Everything else is passed over and not kept. `opened` is told the namespace and the line of a
    container that begins, `closed` that it ended. Raises StatementRefused for what is not
    well-formed, has a document type, or is larger than any statement.
    """

    def __init__(
        self,
        place: Place,
        container: str,
        *,
        opened: Callable[[str, int], None],
        taken: Callable[[Element], None],
        closed: Callable[[], None],
    ) -> None:
        self._place = place
        self._container = container
        self._opened, self._taken, self._closed = opened, taken, closed
        self._inside_from = 0  # the depth of the container that is open, or 0
        self._open: list[Element] = []
        self._depth = self._elements = self._kept = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def read(self, content: bytes) -> None:
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise self._place.at("", error.lineno).refuse(
                f"is not well-formed XML ({reason}); ask the bank for the whole file"
            ) from None
        except (LookupError, ValueError):
            raise self._here().refuse(
                "names an encoding that cannot be read; save the file in UTF-8"
            ) from None

    def _here(self) -> Place:
        return self._place.at("", self._parser.CurrentLineNumber)

    def _doctype(self, *_: object) -> None:
        raise self._here().refuse("has a document type (DTD), which no statement needs; remove it")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > DEEPEST or self._elements > MOST_ELEMENTS:
            raise self._here().refuse(
                "has more elements, or deeper ones, than a statement; ask the bank for a valid file"
            )
        space, _, name = tag.rpartition(" ")
        if not self._inside_from:
            if name == self._container:
                self._inside_from = self._depth
                self._opened(space, self._parser.CurrentLineNumber)
            return
        self._kept += 1
        if self._kept > MOST_KEPT:
            raise self._here().refuse(
                f"is an entry of more than {MOST_KEPT:,} elements; ask the bank for smaller batches"
            )
        element = Element(name, space, self._parser.CurrentLineNumber, attributes)
        if self._open:
            self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, tag: str) -> None:
        if self._open:
            element = self._open.pop()
            if not self._open:
                self._taken(element)
                self._kept = 0
        elif self._depth == self._inside_from:
            self._inside_from = 0
            self._closed()
        self._depth -= 1

    def _characters(self, text: str) -> None:
        if not self._open:
            return
        element = self._open[-1]
        element.text += text
        if len(element.text) > LONGEST_TEXT:
            raise self._here().refuse(
                f"{element.name[:80]} is longer than {LONGEST_TEXT} characters; "
                "ask the bank for a valid file"
            )
