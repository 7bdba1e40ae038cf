"""The JSON of the proofs that months were billed."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import ConfigDict, Field

from api.schemas import Amount, Schema
from domain.proof import LAWS, Difference, Measure, ProofStatus, Weighed

_EXAMPLE: dict[str, Any] = {
    "id": 7,
    "period": "2026-02",
    "as_of": "2026-03-05",
    "made_at": "2026-03-05T06:00:00Z",
    "made_by": "reconciliation",
    "status": "alarm",
    "reason": "",
    "difference_count": 1,
    "unchecked_count": 0,
}
_LAW = {
    "equation": "rated_again",
    "sentence": "Rated a second time, by another formula, the month comes to the same.",
    "measure": "money",
    "unit": "USD",
}


class ReconciliationOut(Schema):
    """One making of a month's proof; the last one counts.

    `status`: balanced; alarm, where anything differs; incomplete, where nothing differs and
    something could not be checked. `reason`: why there are no equations, where there are none.
    """

    model_config = ConfigDict(
        extra="forbid", from_attributes=True, json_schema_extra={"example": _EXAMPLE}
    )

    id: int
    period: str
    as_of: date = Field(description="The business day on which it was made.")
    made_at: datetime
    made_by: str
    status: ProofStatus
    reason: str
    difference_count: int
    unchecked_count: int = Field(description="Equations of which a side could not be had.")


class PartOut(Schema):
    """A part of an equation's right side; `count`: how many customers, invoices or payments."""

    name: str
    amount: Amount
    count: int


class EquationOut(Schema):
    """Both sides of an equation in one unit: a metric, a currency, or what is counted.

    `difference` below zero: the right side has too little. It may be zero where differences of
    two customers cancel each other out; those are listed all the same. `not_checked`: why the
    equation says nothing, or empty.
    """

    equation: str
    part: str = Field(description="Usage, Prices, Invoices, Customers, Reports or Payments.")
    sentence: str
    measure: Measure
    unit: str
    left_name: str
    right_name: str
    left: Amount
    right: Amount
    difference: Amount
    parts: list[PartOut]
    not_checked: str

    @classmethod
    def of(cls, row: Weighed) -> "EquationOut":
        law = LAWS[row.equation]
        return cls(
            equation=row.equation.value,
            part=law.part,
            sentence=law.sentence,
            measure=law.measure,
            unit=row.unit,
            left_name=law.left,
            right_name=law.right,
            left=row.left,
            right=row.right,
            difference=row.difference,
            parts=[PartOut.model_validate(part) for part in row.parts],
            not_checked=row.not_checked,
        )


class DifferenceOut(Schema):
    """Something on which the sides of an equation do not agree.

    `account_number` is empty where nobody knows whose it is; `difference` below zero: too little
    was found.
    """

    equation: str
    sentence: str
    measure: Measure
    unit: str
    account_number: str
    subject: str
    expected: Amount
    found: Amount
    difference: Amount
    explanation: str

    @classmethod
    def of(cls, row: Difference) -> "DifferenceOut":
        law = LAWS[row.equation]
        return cls(
            equation=row.equation.value,
            sentence=law.sentence,
            measure=law.measure,
            unit=row.unit,
            account_number=row.account_number,
            subject=row.subject,
            expected=row.expected,
            found=row.found,
            difference=row.difference,
            explanation=row.explanation,
        )


class ReconciliationDetail(ReconciliationOut):
    """The last proof of a month, with its equations and the first differences."""

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={
            "example": {
                **_EXAMPLE,
                "being_made_anew": False,
                "equations": [
                    {
                        **_LAW,
                        "part": "Prices",
                        "left_name": "second rating",
                        "right_name": "invoice lines",
                        "left": "52310.45",
                        "right": "48910.45",
                        "difference": "-3400.00",
                        "parts": [],
                        "not_checked": "",
                    }
                ],
                "differences": [
                    {
                        **_LAW,
                        "account_number": "1047",
                        "subject": "INV-2026-02-0047: api-calls",
                        "expected": "3573.95",
                        "found": "173.95",
                        "difference": "-3400.00",
                        "explanation": "billed too little",
                    }
                ],
            }
        },
    )

    being_made_anew: bool
    equations: list[EquationOut]
    differences: list[DifferenceOut] = Field(
        description="The first `limit` of them; the CSV file has all."
    )


class ReconciliationStarted(Schema):
    """A proof is being made; the last one is the new one in a moment."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "period": "2026-02",
                "workflow_url": "http://127.0.0.1:8233/namespaces/default/workflows/…",
            }
        },
    )

    period: str
    workflow_url: str


def table(found: list[Difference]) -> tuple[list[str], list[list[str | Decimal]]]:
    """The differences as a header and rows."""
    header = (
        "equation sentence account_number subject unit expected found difference explanation"
    ).split()
    rows: list[list[str | Decimal]] = [
        [
            row.equation.value,
            LAWS[row.equation].sentence,
            row.account_number,
            row.subject,
            row.unit,
            row.expected,
            row.found,
            row.difference,
            row.explanation,
        ]
        for row in found
    ]
    return header, rows
