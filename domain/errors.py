"""Refusals. Each carries what a person needs to mend the cause; the API maps them once."""

from datetime import date
from decimal import Decimal


class BillwrightError(Exception):
    """Base of every refusal.

    `code` is stable and meant for programs; the message names the place and the remedy.
    """

    code = "refused"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidValue(BillwrightError):
    """A value that no rule can accept, such as a period "2026-13"."""

    code = "invalid_value"


class InvalidField(InvalidValue):
    """A field of a record whose value does not fit the others; `reason` names the remedy."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotFound(BillwrightError):
    """What was asked for does not exist."""

    code = "not_found"


class Conflict(BillwrightError):
    """What was asked for does not fit the present state."""

    code = "conflict"


class PlanNotApproved(Conflict):
    """A plan that is to be approved before its issue is not approved as it stands.

    `drafts`: how many of its drafts are not.
    """

    code = "not_approved"

    def __init__(self, period: str, drafts: int) -> None:
        super().__init__(
            f"The plan of {period} is to be approved before it is issued, and "
            f"{drafts:,} of its drafts are not; read its preview and approve it."
        )


class NotApproved(Conflict):
    """A draft that came about, such as by a retry, behind the approval of its cycle."""

    code = "not_approved"

    def __init__(self, number: str, total: Decimal, currency: str) -> None:
        super().__init__(
            f"{number}, {total:f} {currency}, came about after the plan was approved; approve "
            "what is new in its preview, then retry."
        )


class NotAsApproved(Conflict):
    """A draft that is no longer what was approved: its total, or what the total is for."""

    code = "not_as_approved"

    def __init__(self, number: str, approved: str, present: str) -> None:
        differs = (
            f"comes to {present} now"
            if approved != present
            else "has other lines, dates or customer's data now, though the same total"
        )
        super().__init__(
            f"{number} was approved at {approved} and {differs}; approve what changed in its "
            "preview, then retry."
        )


class PlanChanged(Conflict):
    """An approval of drafts that are no longer the ones that were read."""

    code = "plan_changed"

    def __init__(self, period: str, read: str, present: str) -> None:
        differs = (
            f"{read} when you read it, and {present} now"
            if read != present
            else f"{present} still, but not the same ones"
        )
        super().__init__(
            f"digest: what is to be approved of {period} was {differs}; read its preview again."
        )


class NoFirstMonth(Conflict):
    """Months are to be billed by themselves, and nothing says which is the first."""

    code = "no_first_month"

    def __init__(self) -> None:
        super().__init__(
            "No month was billed yet: set BILLWRIGHT_BILLING_STARTS to the first month that is to "
            "be billed by itself, such as 2026-02, or start its cycle by hand."
        )


class AlreadyBilled(Conflict):
    """A change would reach back into a month that was billed. `billed_as`: the invoice, or the
    cycle; `free_from`: first day from which it may count; `planned`: nothing is issued yet.
    """

    code = "already_billed"

    def __init__(
        self, field: str, period: str, billed_as: str, free_from: date, *, planned: bool
    ) -> None:
        if planned:
            message = (
                f"{field}: {period} is planned already ({billed_as}); discard the plan first and "
                f"start the month again, or let the change count from {free_from} on."
            )
        else:
            message = (
                f"{field}: {period} is billed already ({billed_as}) and is not rated again; let "
                f"the change count from {free_from} on, and settle what differs by a credit note."
            )
        super().__init__(message)


class TooLateToWithdraw(Conflict):
    """What was billed by can end and not be taken back. `billed`: where, and from when on it may
    end, about the field that ends it.
    """

    code = AlreadyBilled.code

    def __init__(self, what: str, billed: AlreadyBilled) -> None:
        super().__init__(f"{what} cannot be withdrawn; end it instead: {billed.message}")


class CurrencyMismatch(BillwrightError):
    """Two amounts of different currencies met."""

    code = "currency_mismatch"

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right} cannot be added; convert one of them first.")


class PeriodNotOver(BillwrightError):
    """A cycle was asked for a period that still receives usage."""

    code = "period_not_over"

    def __init__(self, period: str, ends_on: date, time_zone: str) -> None:
        super().__init__(
            f"Period {period} ends with {ends_on} in {time_zone}; bill it after that day is over."
        )


class CustomerCannotBeBilled(BillwrightError):
    """Base of the errors that end one customer as `failed` while the others are billed."""

    code = "cannot_be_billed"


class UnknownPlan(CustomerCannotBeBilled):
    code = "unknown_plan"

    def __init__(self, plan_code: str, on: date) -> None:
        super().__init__(
            f"Plan {plan_code} has no version valid on {on}; add one that starts by then."
        )


class NoPriceInCurrency(CustomerCannotBeBilled):
    code = "no_price_in_currency"

    def __init__(self, plan_code: str, currency: str, available: list[str]) -> None:
        super().__init__(
            f"Plan {plan_code} has no price in {currency} (it has {', '.join(available)}); "
            f"add a {currency} price or change the customer's currency."
        )


class UsageWithoutPlan(CustomerCannotBeBilled):
    code = "usage_without_plan"

    def __init__(self, metric: str, quantity: Decimal, first: date, last: date) -> None:
        super().__init__(
            f"{quantity:f} {metric} from {first} to {last} are covered by no usage plan; "
            "subscribe the customer to one that covers these days."
        )


class OverlappingUsagePlans(CustomerCannotBeBilled):
    code = "overlapping_usage_plans"

    def __init__(self, metric: str, first_plan: str, second_plan: str, on: date) -> None:
        super().__init__(
            f"Plans {first_plan} and {second_plan} both price {metric} on {on}; end one of them."
        )


class AmountTooLarge(CustomerCannotBeBilled):
    code = "amount_too_large"

    def __init__(self, amount: Decimal, currency: str) -> None:
        super().__init__(
            f"{amount:.3E} {currency} has too many digits to be billed exactly; "
            "correct the quantity or the price."
        )


class NegativeUsage(CustomerCannotBeBilled):
    code = "negative_usage"

    def __init__(self, metric: str, quantity: Decimal) -> None:
        super().__init__(
            f"Usage of {metric} sums to {quantity:f}; correct the events before billing."
        )


class NoTaxRate(CustomerCannotBeBilled):
    code = "no_tax_rate"

    def __init__(self, country: str, on: date) -> None:
        super().__init__(
            f"No tax rate for {country} on {on}, and the seller's own country and every EU member "
            "state need one; add it to the tax rates."
        )


class DiscountInAnotherCurrency(CustomerCannotBeBilled):
    code = "discount_in_another_currency"

    def __init__(self, name: str, currency: str, billed_in: str) -> None:
        super().__init__(
            f"Discount {name} is an amount in {currency} and the customer is billed in "
            f"{billed_in}; end it and add one in {billed_in}."
        )


class PrepaidInAnotherCurrency(CustomerCannotBeBilled):
    code = "prepaid_in_another_currency"

    def __init__(self, grant_id: int, currency: str, billed_in: str) -> None:
        super().__init__(
            f"Prepaid credit {grant_id} was sold in {currency} and the customer is billed in "
            f"{billed_in}; withdraw it and add it in {billed_in}."
        )
