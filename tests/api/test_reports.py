"""The reports over HTTP: as JSON with money as text, and as CSV that a spreadsheet opens."""

import csv
import io
from collections.abc import Callable, Sequence
from decimal import Decimal

import httpx
import pytest

from storage.engine import transaction
from storage.reports.outstanding import outstanding
from tests.api.collected import Month
from tests.api.conftest import BilledMonth, Product, assert_problem
from tests.builders import ISSUED_ON, Subscriber

OUTSTANDING = "/api/billing/outstanding"
REVENUE = "/api/billing/revenue-by-customer"
MRR = "/api/billing/mrr"
CHURN = "/api/billing/churn-risk"
COLLECTIONS = "/api/billing/collections"
REPORTS = [OUTSTANDING, REVENUE, MRR, CHURN, COLLECTIONS]
LISTS = [OUTSTANDING, REVENUE, MRR, CHURN]
AS_OF = {"as_of": "2026-03-01"}


def table(answer: httpx.Response) -> list[dict[str, str]]:
    """The rows of a CSV answer, as a program that knows UTF-8 by its mark reads them."""
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


async def test_what_is_owed_is_told_by_age(billed: BilledMonth) -> None:
    found = await billed.product.get(OUTSTANDING, params=AS_OF)
    with transaction(billed.product.engine) as connection:
        report = outstanding(connection, as_of=ISSUED_ON, currency="USD", limit=100)
    assert found["total"] == f"{report.total:f}"
    assert (found["as_of"], found["currency"], found["rates"]) == ("2026-03-01", "USD", [])
    assert [bucket["bucket"] for bucket in found["buckets"]] == ["current", "1-30", "31-60", "60+"]
    assert found["buckets"][0]["share"] == "100.0"
    first = found["debtors"][0]
    assert first["by_bucket"] == {
        **{"current": first["amount"], "1-30": "0.00"},
        **{"31-60": "0.00", "60+": "0.00"},
    }


async def test_the_day_asked_for_decides(billed: BilledMonth) -> None:
    before = await billed.product.get(OUTSTANDING, params={"as_of": "2026-02-28"})
    later = await billed.product.get(OUTSTANDING, params={"as_of": "2026-06-01"})
    assert (before["total"], before["debtors"]) == ("0.00", [])
    assert [bucket["invoices"] for bucket in later["buckets"]] == [0, 0, 0, later["invoices"]]


async def test_a_months_revenue_is_told_by_customer(billed: BilledMonth) -> None:
    params = {**AS_OF, "period": "2026-02", "limit": "2"}
    found = await billed.product.get(REVENUE, params=params)
    assert [customer["account_number"] for customer in found["customers"]] == ["1047", "1006"]
    known = found["customers"][0]
    assert (known["revenue"], known["before"], known["change"]) == ("262.95", "0.00", "262.95")
    assert (known["growth"], known["segment"]) == (None, "mid_market")
    assert found["period"] == "2026-02"


async def test_the_month_is_the_one_before_where_none_is_asked_for(billed: BilledMonth) -> None:
    found = await billed.product.get(REVENUE, params=AS_OF)
    assert found["period"] == "2026-02"


async def test_recurring_revenue_is_told_with_its_trend(billed: BilledMonth) -> None:
    found = await billed.product.get(MRR, params={"as_of": "2026-02-28"})
    assert Decimal(found["mrr"]) == Decimal(found["usage"]) + Decimal(found["subscriptions"])
    assert found["subscriptions"] == "99.00"
    assert (len(found["trend"]), found["trend"][-1]["mrr"]) == (13, found["mrr"])
    assert [change["kind"] for change in found["changes"]] == [
        *("new", "expansion", "contraction", "churned"),
    ]
    rows = table(await billed.product.http.get(MRR, params={**AS_OF, "format": "csv"}))
    assert [row["day"] for row in rows][-2:] == ["2026-02-22", "2026-03-01"]


async def test_what_was_billed_stands_beside_it(billed: BilledMonth) -> None:
    found = await billed.product.get(MRR, params=AS_OF)
    total = billed.cycle["totals"][0]["total"]
    assert found["billed"] == {
        **{"period": "2026-02", "amount": total},
        **{"before": "0.00", "growth": None},
    }
    before = await billed.product.get(MRR, params={"as_of": "2026-02-28"})
    assert before["billed"]["period"] is None


async def test_a_declined_card_that_was_not_replaced_is_a_risk(month: Month) -> None:
    number = month.take("refused")
    account = (await month.get(number))["account_number"]
    found = await month.product.get(CHURN, params={"as_of": "2026-03-05"})
    (mine,) = [c for c in found["customers"] if c["account_number"] == account]
    assert mine["failed_payments"] == [{"number": number, "first_failed_on": "2026-03-01"}]
    assert mine["declines"] == []
    assert (found["threshold_percent"], found["months"]) == (
        "10.0",
        ["2025-12", "2026-01", "2026-02"],
    )
    answer = await month.product.http.get(CHURN, params={"as_of": "2026-03-05", "format": "csv"})
    assert account in [row["account_number"] for row in table(answer)]
    await month.done(number, "resolve", resolution="write_off", note="insolvent")
    after = await month.product.get(CHURN, params={"as_of": "2026-03-05"})
    assert account not in [c["account_number"] for c in after["customers"]]


async def test_what_the_reminders_achieve_is_told_by_month(billed: BilledMonth) -> None:
    found = await billed.product.get(COLLECTIONS, params={**AS_OF, "months": "2"})
    assert [(month["month"], month["until"]) for month in found["months"]] == [
        ("2026-02", "2026-02-28"),
        ("2026-03", "2026-03-01"),
    ]
    last = found["months"][-1]
    assert [step["step"] for step in last["steps"]] == [
        *("before_reminders", "retry", "reminder", "urgent_notice", "manual_review")
    ]
    # one card was declined on the day of issue
    assert (last["recovered"], last["unaided"]) == ("0.00", None)
    assert (last["opened"], last["open_cases"]) == (1, 1)
    assert last["receivables"] == last["billed"] != "0.00"
    # of the day of issue: everything is owed, of 2025-12-02 to 2026-03-01
    assert (last["dso"], last["dso_change"], found["months"][0]["dso"]) == ("90.0", None, None)


async def test_half_a_year_is_told_where_nothing_else_is_asked(billed: BilledMonth) -> None:
    found = await billed.product.get(COLLECTIONS, params=AS_OF)
    months = [month["month"] for month in found["months"]]
    assert (months[0], months[-1], len(months)) == ("2025-10", "2026-03", 6)


async def test_the_file_of_collections_has_a_month_a_row(billed: BilledMonth) -> None:
    params = {**AS_OF, "months": "24", "format": "csv"}
    answer = await billed.product.http.get(COLLECTIONS, params=params)
    rows = table(answer)
    assert (len(rows), rows[-1]["month"], rows[-1]["until"]) == (24, "2026-03", "2026-03-01")
    assert (rows[-1]["dso"], rows[-1]["settled_retry"], rows[0]["unaided"]) == ("90.0", "0", "")
    assert answer.headers["content-disposition"] == (
        'attachment; filename="collections-2026-03-01.csv"'
    )


@pytest.mark.parametrize("months", ["0", "25", "-1", "six"])
async def test_months_that_cannot_be_told_are_refused(billed: BilledMonth, months: str) -> None:
    answer = await billed.product.http.get(COLLECTIONS, params={"months": months})
    assert_problem(answer, 422, "query.months")


async def test_a_file_has_everybody(billed: BilledMonth) -> None:
    answer = await billed.product.http.get(OUTSTANDING, params={**AS_OF, "format": "csv"})
    found = await billed.product.get(OUTSTANDING, params={**AS_OF, "limit": "1"})
    rows = table(answer)
    assert len(rows) == found["customers"] > len(found["debtors"])
    assert rows[0]["amount"] == found["debtors"][0]["amount"]
    assert rows[0]["oldest_due_on"] == "2026-03-31"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="outstanding-2026-03-01.csv"'
    )


@pytest.mark.parametrize("path", REPORTS)
async def test_who_accepts_csv_gets_it(billed: BilledMonth, path: str) -> None:
    asked = {"params": AS_OF, "headers": {"Accept": "text/csv, */*;q=0.1"}}
    answer = await billed.product.http.get(path, **asked)  # type: ignore[arg-type]
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert len(table(answer)) > 0 or path == CHURN
    both = {**asked, "params": {**AS_OF, "format": "json"}}
    answer = await billed.product.http.get(path, **both)  # type: ignore[arg-type]
    assert answer.json()["as_of"] == "2026-03-01"


async def test_a_name_that_begins_like_a_formula_is_text(
    office: Product, seed: Callable[[Sequence[Subscriber]], None]
) -> None:
    seed([Subscriber(columns={"name": '=HYPERLINK("http://evil")'})])
    await office.bill()
    answer = await office.http.get(REVENUE, params={**AS_OF, "format": "csv"})
    (row,) = table(answer)
    assert row["name"].startswith("'=HYPERLINK")


@pytest.mark.parametrize("path", REPORTS)
@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"as_of": "yesterday"}, "query.as_of"),
        ({"as_of": "0001-01-01"}, "query.as_of"),
        ({"as_of": "9999-12-31"}, "query.as_of"),
        ({"currency": "usd"}, "query.currency"),
        ({"format": "xml"}, "query.format"),
    ],
)
async def test_a_bad_question_is_refused_by_its_name(
    billed: BilledMonth, path: str, params: dict[str, str], field: str
) -> None:
    assert_problem(await billed.product.http.get(path, params=params), 422, field)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "1001"])
async def test_a_bad_limit_is_refused_by_its_name(
    billed: BilledMonth, path: str, limit: str
) -> None:
    answer = await billed.product.http.get(path, params={"limit": limit})
    assert_problem(answer, 422, "query.limit")


@pytest.mark.parametrize("path", REPORTS)
async def test_a_currency_without_a_rate_is_named(billed: BilledMonth, path: str) -> None:
    answer = await billed.product.http.get(path, params={**AS_OF, "currency": "EUR"})
    assert_problem(answer, 422, "from USD to EUR on 2026-03-01")
    assert answer.json()["type"] == "urn:billwright:missing_exchange_rate"
