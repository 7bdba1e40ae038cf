"""`python -m demo.screenshots`: the console's pages as pictures for the README, of the
demonstration that runs in this directory.
"""

from pathlib import Path

from demo.__main__ import ISSUED_ON, LOGIN
from demo.browser import logged_in
from settings import settings
from stack.embedded import running_stack
from storage.engine import make_engine, transaction
from storage.people import list_people

FOLDER = Path(__file__).parent.parent / "docs" / "console"
LAPTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
_THAT_DAY = f"?as_of={ISSUED_ON}"
PICTURES = (
    ("home", _THAT_DAY, LAPTOP, "light"),
    ("home-dark", _THAT_DAY, LAPTOP, "dark"),
    ("home-phone", _THAT_DAY, PHONE, "light"),
    ("billing", "billing", LAPTOP, "light"),
    ("cycle", "billing/2026-02", LAPTOP, "light"),
    ("preview", "billing/2026-03", LAPTOP, "light"),
    ("proof", "billing/2026-02/proof", LAPTOP, "light"),
    ("usage", "usage", LAPTOP, "light"),
    ("invoices", "invoices?period=2026-02", LAPTOP, "light"),
    ("invoice", "invoices/INV-2026-02-0011", LAPTOP, "light"),
    ("review", "review", LAPTOP, "light"),
    ("bank", "bank?status=matched", LAPTOP, "light"),
    ("customers", "customers", LAPTOP, "light"),
    ("customer", "customers/1047", LAPTOP, "light"),
    ("plan", "plans/api-calls", LAPTOP, "light"),
    ("tax-rates", "tax-rates", LAPTOP, "light"),
)
"""Name, page, screen, colours."""


def main() -> None:
    addresses = running_stack((settings().home / "demo").absolute())
    if addresses is None:
        raise SystemExit("No demonstration runs here; start one with make demo.")
    engine = make_engine(addresses.database_url, pool_size=1)
    with transaction(engine) as connection:
        (person,) = [one for one in list_people(connection) if one.email == LOGIN]
    FOLDER.mkdir(exist_ok=True)
    for name, path, screen, colours in PICTURES:
        with logged_in(
            engine, addresses.api_url, person, viewport=screen, color_scheme=colours
        ) as page:
            answer = page.goto(f"{addresses.api_url}/console/{path}")
            if answer is None or not answer.ok:
                raise SystemExit(f"The page {page.url} was not to be had.")
            page.screenshot(path=FOLDER / f"{name}.png")
    engine.dispose()


if __name__ == "__main__":
    main()
