"""What is wrong with files that come in, by file, line, column and reason."""

from dataclasses import dataclass, field

from domain.errors import BillwrightError

REPORTED_AT_MOST = 1_000


@dataclass(frozen=True)
class BadRow:
    """`line` counts from 1, the header included; `column` is empty where the row is at fault."""

    file: str
    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"{self.file}, line {self.line}{column}: {self.reason}"


@dataclass
class Problems:
    """Collects bad rows: the first thousand by name, the rest by number."""

    rows: list[BadRow] = field(default_factory=list)
    count: int = 0

    def add(self, file: str, line: int, column: str, reason: str) -> None:
        self.count += 1
        if len(self.rows) < REPORTED_AT_MOST:
            self.rows.append(BadRow(file, line, column, reason))


class ImportRefused(BillwrightError):
    """Some rows are bad, and nothing was written. `problems` names them."""

    code = "import_refused"

    def __init__(self, problems: Problems) -> None:
        rows = "row is" if problems.count == 1 else "rows are"
        super().__init__(f"{problems.count} {rows} bad and nothing was imported; mend and repeat.")
        self.problems = problems
