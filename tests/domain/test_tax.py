"""Which tax applies: one test a rule, and the days on which rates change."""

from datetime import date
from decimal import Decimal

import pytest

from domain.errors import InvalidValue, NoTaxRate
from domain.tax import (
    EU_MEMBER_STATES,
    US_STATES,
    TaxPolicy,
    TaxRule,
    TaxSubject,
    TaxTable,
    TaxTreatment,
    determine_tax,
)
from tests.builders import tax_rate

LAST_OF_FEBRUARY = date(2026, 2, 28)
RATES = [
    tax_rate("DE", "19", valid_from=date(2007, 1, 1), valid_to=date(2020, 7, 1)),
    tax_rate("DE", "16", valid_from=date(2020, 7, 1), valid_to=date(2021, 1, 1)),
    tax_rate("DE", "19", valid_from=date(2021, 1, 1)),
    tax_rate("FR", "20"),
    tax_rate("US", "6.25", region="TX", name="Sales tax"),
    tax_rate("CA", "5", name="GST"),
    tax_rate("CA", "13", region="ON", name="HST"),
    tax_rate("CH", "8.1"),
]


def treatment(
    country: str,
    region: str = "",
    *,
    on: date = LAST_OF_FEBRUARY,
    policy: TaxPolicy = TaxPolicy(),
    **subject: bool,
) -> tuple[TaxRule, str]:
    found = determine_tax(TaxSubject(country, region, **subject), TaxTable(RATES), policy, on)
    return found.rule, f"{found.rate_percent:f}"


def test_the_sellers_country_is_domestic() -> None:
    assert treatment("DE") == (TaxRule.DOMESTIC, "19")


def test_a_vat_id_changes_nothing_at_home() -> None:
    assert treatment("DE", vat_id_valid=True) == (TaxRule.DOMESTIC, "19")


def test_another_member_state_is_its_own_rate() -> None:
    assert treatment("FR") == (TaxRule.EU_DESTINATION, "20")


def test_a_business_of_another_member_state_accounts_for_the_tax_itself() -> None:
    assert treatment("FR", vat_id_valid=True) == (TaxRule.REVERSE_CHARGE, "0")


def test_reverse_charge_needs_no_rate() -> None:
    assert treatment("IT", vat_id_valid=True) == (TaxRule.REVERSE_CHARGE, "0")


def test_without_the_reverse_charge_the_rate_applies() -> None:
    policy = TaxPolicy(reverse_charge=False)
    assert treatment("FR", vat_id_valid=True, policy=policy) == (TaxRule.EU_DESTINATION, "20")


def test_a_listed_us_state_is_taxed() -> None:
    assert treatment("US", "TX") == (TaxRule.LISTED, "6.25")


def test_a_us_state_that_is_not_listed_is_outside_the_scope() -> None:
    assert treatment("US", "OR") == (TaxRule.OUTSIDE_SCOPE, "0")


def test_a_listed_country_outside_the_union_is_taxed() -> None:
    assert treatment("CH") == (TaxRule.LISTED, "8.1")


def test_any_other_country_is_outside_the_scope() -> None:
    assert treatment("JP") == (TaxRule.OUTSIDE_SCOPE, "0")


def test_a_vat_id_outside_the_union_reverses_nothing() -> None:
    assert treatment("CH", vat_id_valid=True) == (TaxRule.LISTED, "8.1")


def test_a_regions_own_rate_comes_before_its_countrys() -> None:
    assert treatment("CA", "ON") == (TaxRule.LISTED, "13")
    assert treatment("CA", "AB") == (TaxRule.LISTED, "5")


def test_exempt_customers_are_exempt_everywhere() -> None:
    everywhere = {treatment(country, exempt=True) for country in ("DE", "FR", "US", "JP", "IT")}
    assert everywhere == {(TaxRule.EXEMPT, "0")}


def test_exemption_comes_before_the_reverse_charge() -> None:
    assert treatment("FR", exempt=True, vat_id_valid=True) == (TaxRule.EXEMPT, "0")


@pytest.mark.parametrize("country", sorted(EU_MEMBER_STATES))
def test_a_member_state_without_a_rate_is_an_error(country: str) -> None:
    with pytest.raises(NoTaxRate, match=f"No tax rate for {country} on 2026-02-28"):
        determine_tax(TaxSubject(country), TaxTable([]), TaxPolicy(), LAST_OF_FEBRUARY)


def test_the_union_has_27_members() -> None:
    assert len(EU_MEMBER_STATES) == 27
    assert "GB" not in EU_MEMBER_STATES


@pytest.mark.parametrize(
    ("on", "rate"),
    [
        (date(2020, 6, 30), "19"),
        (date(2020, 7, 1), "16"),
        (date(2020, 12, 31), "16"),
        (date(2021, 1, 1), "19"),
    ],
)
def test_germany_charged_16_percent_in_the_second_half_of_2020(on: date, rate: str) -> None:
    assert treatment("DE", on=on) == (TaxRule.DOMESTIC, rate)


def test_a_rate_that_has_not_begun_is_no_rate() -> None:
    with pytest.raises(NoTaxRate):
        treatment("FR", on=date(2006, 12, 31))


def test_a_seller_outside_the_union_charges_its_own_tax_at_home() -> None:
    swiss = TaxPolicy(seller_country="CH")
    assert treatment("CH", policy=swiss) == (TaxRule.DOMESTIC, "8.1")


def test_a_seller_outside_the_union_treats_members_as_destinations() -> None:
    swiss = TaxPolicy(seller_country="CH")
    assert treatment("DE", policy=swiss) == (TaxRule.EU_DESTINATION, "19")
    assert treatment("DE", vat_id_valid=True, policy=swiss) == (TaxRule.REVERSE_CHARGE, "0")


def test_a_seller_outside_the_union_needs_its_own_countrys_rate() -> None:
    with pytest.raises(NoTaxRate, match="No tax rate for JP on 2026-02-28, and the seller's own"):
        treatment("JP", policy=TaxPolicy(seller_country="JP"))


def test_an_american_seller_taxes_at_home_only_in_the_states_it_lists() -> None:
    american = TaxPolicy(seller_country="US")
    assert treatment("US", "TX", policy=american) == (TaxRule.DOMESTIC, "6.25")
    assert treatment("US", "OR", policy=american) == (TaxRule.OUTSIDE_SCOPE, "0")


def test_the_us_are_50_states_the_capital_and_5_inhabited_territories() -> None:
    assert len(US_STATES) == 50 + 1 + 5
    assert {"NY", "DC", "PR"} <= US_STATES


@pytest.mark.parametrize(
    ("taxable", "currency", "tax"),
    [
        ("262.95", "USD", "49.96"),
        ("0.00", "USD", "0.00"),
        ("-0.03", "USD", "-0.01"),
        ("-0.01", "USD", "0.00"),
        ("1050", "JPY", "200"),
        ("1.005", "KWD", "0.191"),
    ],
)
def test_tax_is_rounded_half_up_to_the_minor_unit(taxable: str, currency: str, tax: str) -> None:
    rule = TaxTreatment(TaxRule.DOMESTIC, Decimal(19), "VAT")
    assert str(rule.amount_on(Decimal(taxable), currency)) == tax


@pytest.mark.parametrize("percent", ["-0.01", "100.01"])
def test_a_rate_beyond_0_to_100_percent_is_refused(percent: str) -> None:
    with pytest.raises(InvalidValue, match="percent"):
        tax_rate("DE", percent)


def test_a_rate_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InvalidValue, match="ends before"):
        tax_rate(valid_to=date(2007, 1, 1))
