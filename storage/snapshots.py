"""Domain values as the JSON that is kept with an invoice, and back.

Amounts travel as strings, so that no reader turns them into floats.
"""

from collections.abc import Iterable
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from domain.dunning import DunningPolicy, DunningStep
from domain.emails import EmailKind
from domain.invoice import TaxLine
from domain.parties import BilledCustomer, PaymentMethod, PostalAddress
from domain.plans import Charge, ChargeModel, Tier
from domain.tax import TaxRule, TaxTreatment


def customer_to_json(customer: BilledCustomer) -> dict[str, Any]:
    return asdict(customer)


def customer_from_json(data: dict[str, Any]) -> BilledCustomer:
    return BilledCustomer(
        **{
            **data,
            "address": PostalAddress(**data["address"]),
            "billing_emails": tuple(data["billing_emails"]),
            "payment_method": PaymentMethod(data["payment_method"]),
        }
    )


def tax_lines_to_json(lines: Iterable[TaxLine]) -> list[dict[str, str]]:
    return [
        {
            "rule": line.treatment.rule.value,
            "rate_percent": f"{line.treatment.rate_percent:f}",
            "name": line.treatment.name,
            "taxable": f"{line.taxable:f}",
            "amount": f"{line.amount:f}",
        }
        for line in lines
    ]


def tax_lines_from_json(data: Iterable[dict[str, str]]) -> tuple[TaxLine, ...]:
    return tuple(
        TaxLine(
            TaxTreatment(TaxRule(line["rule"]), Decimal(line["rate_percent"]), line["name"]),
            Decimal(line["taxable"]),
            Decimal(line["amount"]),
        )
        for line in data
    )


def charges_to_json(charges: Iterable[Charge]) -> list[dict[str, Any]]:
    return [
        {
            "metric": charge.metric,
            "model": charge.model.value,
            "name": charge.name,
            "tiers": [
                {"name": tier.name, "up_to": tier.up_to, "unit_price": f"{tier.unit_price:f}"}
                for tier in charge.tiers
            ],
            "unit_price": None if charge.unit_price is None else f"{charge.unit_price:f}",
            "package_size": charge.package_size,
        }
        for charge in charges
    ]


def charges_from_json(data: Iterable[dict[str, Any]]) -> tuple[Charge, ...]:
    return tuple(
        Charge(
            metric=charge["metric"],
            model=ChargeModel(charge["model"]),
            tiers=tuple(
                Tier(tier["name"], tier["up_to"], Decimal(tier["unit_price"]))
                for tier in charge["tiers"]
            ),
            unit_price=None if charge["unit_price"] is None else Decimal(charge["unit_price"]),
            package_size=charge["package_size"],
            name=charge["name"],
        )
        for charge in data
    )


def policy_to_json(policy: DunningPolicy) -> list[dict[str, Any]]:
    return [
        {
            "after_days": step.after_days,
            "notice": step.notice.value,
            "retry": step.retry,
            "cc": list(step.cc),
        }
        for step in policy.steps
    ]


def policy_from_json(data: Iterable[dict[str, Any]]) -> DunningPolicy:
    """Raises InvalidValue for steps that make no policy."""
    return DunningPolicy(
        tuple(
            DunningStep(
                step["after_days"],
                EmailKind(step["notice"]),
                step.get("retry", False),
                tuple(step.get("cc", ())),
            )
            for step in data
        )
    )
