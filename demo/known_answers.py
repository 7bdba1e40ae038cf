"""What the figures are by hand (README.md beside this file); the demonstration checks what it read
back against them, and never prints them.
"""

from collections.abc import Sequence

from demo.figures import Figure
from stack.errors import StackError

Answers = Sequence[tuple[str, str]]
"""Beginning of the figure's name, and the figure."""

FIRST_DAY: Answers = (
    ("customers processed / invoiced / skipped / failed", "200 / 187 / 13 / 0"),
    ("usage charges", "31,204.50"),
    ("flat subscriptions", "14,892.00"),
    ("proration", "-412.36"),
    ("tax", "2,145.00"),
    ("total, USD", "47,829.14"),
    ("card on file / bank transfer", "142 / 45"),
    ("INV-2026-02-0047", "312.91"),
    ("cards charged / succeeded", "142 / 136"),
    ("received by card", "40,859.14"),
    ("declined", "3 / 2 / 1"),
    ("open as of 2026-03-01", "6,970.00"),
    ("billed for 2026-02", "47,829.14 / +4.2 %"),
    ("recurring on 2026-02-28", "31,204.50 + 14,892.00 = 46,096.50"),
    ("outstanding: 56 invoices of 53 customers", "8,200.00"),
    ("current", "6,970.00 / 85.0 %"),
    ("1-30", "984.00 / 12.0 %"),
    ("31-60", "246.00 / 3.0 %"),
    ("60+", "0.00 / 0.0 %"),
    ("usage fell", "1166, 1141, 1032"),
)
MARCH: Answers = (
    ("drafts / against 2026-02", "188 / 187"),
    ("usage charges", "31,328.65"),
    ("flat subscriptions", "14,991.00"),
    ("late: account 1047, Usage for 2026-02, arrived late", "10.00"),
    ("late: account 1168", "-5.00"),
    ("tax", "2,221.93"),
    ("total, USD", "48,546.58 / +1.5 %"),
    ("waiting to be approved", "188 drafts"),
)
PROOF: Answers = (
    ("received, with what was set aside", "54,456,144 = 54,456,144"),
    ("late, in a plan that is not issued", "10,000"),
    ("second rating = invoice lines", "45,689.14 = 45,689.14"),
    ("equations that balance", "24 of 24"),
    ("differences", "0"),
)


def check(figures: Sequence[Figure], answers: Answers) -> int:
    """How many figures were checked: all of `answers`. Raises StackError for another one."""
    for name, known in answers:
        found = [figure.value for figure in figures if figure.name.strip().startswith(name)]
        if found != [known]:
            raise StackError(
                f"The demonstration found {name}: {', '.join(found) or 'nothing'}, and by hand it "
                f"is {known}. This is a defect: demo/README.md has the sums to compare with."
            )
    return len(answers)
