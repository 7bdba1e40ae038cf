"""Which tax an invoice carries, decided by country, region and the period's last day.

Source of the rules: Directive 2006/112/EC, articles 44 and 196 (services to businesses of another
member state: reverse charge); Wayfair-style state lists for the US: taxed only where the seller
lists a rate, by state, as there is no federal sales tax.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from domain.errors import InvalidValue, NoTaxRate
from domain.money import round_money

EU_MEMBER_STATES = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE".split()
)
UNITED_STATES = "US"
US_STATES = frozenset(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM "
    "NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC AS GU MP PR VI".split()
)
"""USPS codes of the 50 states, the District of Columbia and the five inhabited territories."""


class TaxRule(StrEnum):
    """Why an invoice carries the tax that it carries; printed on it."""

    DOMESTIC = "domestic"
    EU_DESTINATION = "eu_destination"
    REVERSE_CHARGE = "reverse_charge"
    LISTED = "listed"
    OUTSIDE_SCOPE = "outside_scope"
    EXEMPT = "exempt"


@dataclass(frozen=True)
class TaxRate:
    """A rate that a jurisdiction charges on the days `[valid_from, valid_to)`.

    `region` is empty for a whole country; `valid_to` None means still valid.
    """

    country: str
    region: str
    rate_percent: Decimal
    name: str
    valid_from: date
    valid_to: date | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rate_percent <= 100:
            raise InvalidValue(f"{self.rate_percent} is not a tax rate; give 0 to 100 percent.")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise InvalidValue(f"Tax rate {self.name} ends before it begins.")

    def valid_on(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True)
class TaxSubject:
    """What the tax rules look at in a customer.

    `vat_id_valid` was checked when the customer was taken in, not at billing.
    """

    country: str
    region: str = ""
    vat_id_valid: bool = False
    exempt: bool = False


@dataclass(frozen=True)
class TaxPolicy:
    """The seller's side: where it is established, whether it uses the reverse charge."""

    seller_country: str = "DE"
    reverse_charge: bool = True


@dataclass(frozen=True)
class TaxTreatment:
    """The rule applied to an invoice and its rate; `name` is printed beside the amount."""

    rule: TaxRule
    rate_percent: Decimal
    name: str

    def amount_on(self, taxable: Decimal, currency: str) -> Decimal:
        """Tax on the sum of the rounded lines, rounded half-up."""
        return round_money(taxable * self.rate_percent / 100, currency)


class TaxTable:
    """All tax rates known, looked up by place and day."""

    def __init__(self, rates: Iterable[TaxRate]) -> None:
        self._by_place: dict[tuple[str, str], list[TaxRate]] = {}
        for rate in rates:
            self._by_place.setdefault((rate.country, rate.region), []).append(rate)

    def rate(self, country: str, region: str, on: date) -> TaxRate | None:
        """The region's own rate on `on`, else the whole country's, else None."""
        for place in dict.fromkeys([(country, region), (country, "")]):
            for rate in self._by_place.get(place, ()):
                if rate.valid_on(on):
                    return rate
        return None


def determine_tax(
    subject: TaxSubject, table: TaxTable, policy: TaxPolicy, on: date
) -> TaxTreatment:
    """The tax treatment of an invoice whose period's last day is `on`.

    Order: exempt customers; the seller's own country; reverse charge for businesses of other
    member states; the listed rate; outside scope.

    Raises NoTaxRate for an EU member state, and for the seller's own country, without a rate:
    never a silent zero. Of the US a seller may list only the states where it collects tax.
    """
    if subject.exempt:
        return TaxTreatment(TaxRule.EXEMPT, Decimal(0), "Tax exempt")
    domestic = subject.country == policy.seller_country
    member_state = subject.country in EU_MEMBER_STATES
    if member_state and not domestic and subject.vat_id_valid and policy.reverse_charge:
        return TaxTreatment(TaxRule.REVERSE_CHARGE, Decimal(0), "VAT reverse charge")
    rate = table.rate(subject.country, subject.region, on)
    if rate is None:
        if member_state or (domestic and subject.country != UNITED_STATES):
            raise NoTaxRate(subject.country, on)
        return TaxTreatment(TaxRule.OUTSIDE_SCOPE, Decimal(0), "Outside the scope of tax")
    if domestic:
        rule = TaxRule.DOMESTIC
    else:
        rule = TaxRule.EU_DESTINATION if member_state else TaxRule.LISTED
    return TaxTreatment(rule, rate.rate_percent, rate.name)
