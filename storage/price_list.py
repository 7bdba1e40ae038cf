"""Plans, prices and tax rates as the domain's lookup tables."""

from sqlalchemy import Connection, select, text

from domain.invoice import PriceList
from domain.plans import Interval, PlanKind, PlanPrice, PriceBook
from domain.tax import TaxPolicy, TaxRate, TaxTable
from storage.snapshots import charges_from_json
from storage.tables import plan_prices, pricing_plans, tax_rates


def load_price_list(connection: Connection, tax_policy: TaxPolicy) -> PriceList:
    """Every price and tax rate, of all versions and days."""
    return PriceList(PriceBook(load_prices(connection)), load_taxes(connection), tax_policy)


def load_prices(connection: Connection, *codes: str) -> list[PlanPrice]:
    """Every version in every currency of the plans `codes`; of every plan where none is given."""
    query = select(pricing_plans, plan_prices).join(
        plan_prices, plan_prices.c.plan_id == pricing_plans.c.id
    )
    rows = connection.execute(query.where(pricing_plans.c.code.in_(codes)) if codes else query)
    return [
        PlanPrice(
            code=row.code,
            name=row.name,
            kind=PlanKind(row.kind),
            currency=row.currency,
            unit_price=row.unit_price,
            charges=charges_from_json(row.charges),
            minimum=row.minimum,
            interval=Interval(row.interval),
            version=row.version,
            valid_from=row.valid_from,
        )
        for row in rows
    ]


def known_metrics(connection: Connection) -> set[str]:
    """Every metric that a version of a plan's price counts, of any day."""
    return set(connection.execute(_METRICS).scalars())


def load_taxes(connection: Connection) -> TaxTable:
    rows = connection.execute(select(tax_rates))
    return TaxTable(
        TaxRate(row.country, row.region, row.rate_percent, row.name, row.valid_from, row.valid_to)
        for row in rows
    )


_METRICS = text("""
    SELECT DISTINCT charge ->> 'metric' FROM plan_prices, jsonb_array_elements(charges) AS charge
""")
"""Each batch of usage asks, and needs no price for it."""
