"""The seller's own data, versioned: a change adds a version, an invoice keeps its own."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select

from domain.errors import Conflict
from domain.parties import PostalAddress, Seller
from storage.tables import sellers


def current_seller(connection: Connection) -> tuple[int, Seller]:
    """The newest version and its number. Raises Conflict while there is none."""
    row = connection.execute(
        select(sellers).order_by(sellers.c.version.desc()).limit(1)
    ).one_or_none()
    if row is None:
        raise Conflict("No seller data yet; import a seller.json before the first cycle.")
    return row.version, _seller(row)


def seller_version(connection: Connection, version: int) -> Seller:
    """The seller as of `version`, which an invoice refers to."""
    return _seller(connection.execute(select(sellers).where(sellers.c.version == version)).one())


def is_current(connection: Connection, seller: Seller) -> bool:
    """Whether the newest version says `seller` already."""
    newest = connection.execute(
        select(sellers).order_by(sellers.c.version.desc()).limit(1)
    ).one_or_none()
    return newest is not None and _seller(newest) == seller


def save_seller(connection: Connection, seller: Seller) -> int:
    """The version that says `seller`: the current one if nothing changed, else a new one."""
    if is_current(connection, seller):
        return current_seller(connection)[0]
    values = {**vars(seller), **_address_columns(seller.address)}
    del values["address"]
    inserted = connection.execute(insert(sellers).values(values).returning(sellers.c.version))
    return int(inserted.scalar_one())


def _address_columns(address: PostalAddress) -> dict[str, str]:
    return {"address_line1" if name == "line1" else name: v for name, v in vars(address).items()}


def _seller(row: Row[Any]) -> Seller:
    return Seller(
        name=row.name,
        address=PostalAddress(
            row.address_line1, row.postal_code, row.city, row.region, row.country
        ),
        email=row.email,
        phone=row.phone,
        website=row.website,
        tax_number=row.tax_number,
        registration=row.registration,
        bank_name=row.bank_name,
        iban=row.iban,
        bic=row.bic,
        logo_svg=row.logo_svg,
    )
