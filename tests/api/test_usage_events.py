"""Usage over HTTP: every event of a batch is answered for, and no batch is half taken in."""

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from api.usage_decoding import JSON, LARGEST_BYTES, NDJSON, decode
from domain.errors import InvalidField
from storage.access import Role
from storage.engine import transaction
from storage.tables import usage_batches, usage_monthly
from tests.api.conftest import Json, Product, assert_problem, bearer
from tests.builders import Subscriber, seed_billing

USAGE = "/api/billing/usage-events"


def event(event_id: str = "e-1", **changes: Any) -> Json:
    return {
        "event_id": event_id,
        "account_number": "1001",
        "metric": "api_calls",
        "occurred_at": "2026-02-03T14:05:00Z",
        "quantity": 10,
        **changes,
    }


@pytest.fixture
def meter(books: Product, engine: Engine, tmp_path: Path) -> Product:
    """The application with customer 1001, asked with a key that may send usage and nothing else."""
    seed_billing(engine, tmp_path, [Subscriber("1001", calls=0)])
    books.http.headers["Authorization"] = bearer(engine, Role.INGEST)
    return books


async def send(product: Product, *events: Any) -> Json:
    answer = await product.http.post(USAGE, json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    taken: Json = answer.json()
    return taken


async def send_bytes(product: Product, content: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await product.http.post(USAGE, content=content, headers=named)


def units(product: Product) -> Decimal:
    with transaction(product.engine) as connection:
        total = select(func.coalesce(func.sum(usage_monthly.c.quantity), 0))
        return Decimal(connection.execute(total).scalar_one())


async def test_each_event_is_answered_for(meter: Product) -> None:
    await send(meter, event("known"))
    taken = await send(
        meter,
        event("new"),
        event("known"),
        event("stray", account_number="9999"),
        event("odd", metric="tokens"),
        event("late", quantity=-1),
        "no event",
    )
    assert {name: taken[name] for name in ("accepted", "duplicates", "set_aside", "rejected")} == {
        **{"accepted": 1, "duplicates": 1, "set_aside": 1},
        "rejected": 3,
    }
    told = [(item["index"], item["event_id"], item["status"]) for item in taken["events"]]
    assert told == [
        (1, "known", "duplicate"),
        (2, "stray", "set_aside"),
        (3, "odd", "rejected"),
        (4, "late", "rejected"),
        (5, None, "rejected"),
    ]
    assert units(meter) == 20


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_id": ""}, "event_id: must be 1 to 200 printable"),
        ({"event_id": "a b"}, "event_id: must be 1 to 200 printable"),
        ({"event_id": 7}, "event_id: must be 1 to 200 printable"),
        ({"account_number": ""}, "account_number: String should have at least 1"),
        ({"account_number": "  "}, "account_number: String should have at least 1"),
        ({"account_number": "a\tb"}, "account_number: String should match"),
        ({"metric": None}, "metric: "),
        (
            {"occurred_at": "2026-02-03T14:05:00"},
            "occurred_at: '2026-02-03T14:05:00' has no time zone",
        ),
        ({"occurred_at": "2026-02-30T14:05:00Z"}, "occurred_at: "),
        ({"occurred_at": 1770000000}, "occurred_at: "),
        ({"occurred_at": "1770000000"}, "occurred_at: '1770000000' is not a time"),
        ({"occurred_at": "2026-02-03"}, "occurred_at: '2026-02-03' is not a time"),
        ({"occurred_at": "2199-01-01T00:00:00Z"}, "occurred_at: lies in the future"),
        ({"quantity": -1}, "quantity: -1 is not a quantity"),
        ({"quantity": "-1"}, "quantity: is not a quantity"),
        ({"quantity": True}, "quantity: "),
        ({"quantity": 1e300}, "quantity: 1e+300 is not a quantity"),
        ({"quantity": 1234567890.25}, "quantity: 1234567890.25 is not kept exactly"),
        ({"quantity": "0.0000001"}, "quantity: is not a quantity"),
        ({"quantity": None}, "quantity: "),
        ({"qty": 1}, "qty: Extra inputs"),
    ],
)
async def test_an_event_that_is_none_is_rejected_with_its_reason(
    meter: Product, changes: Json, reason: str
) -> None:
    taken = await send(meter, event(**changes), event("good"))
    assert (taken["accepted"], taken["rejected"]) == (1, 1)
    (told,) = taken["events"]
    assert (told["index"], told["status"]) == (0, "rejected")
    assert told["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("sent", "counted"), [(5, "5"), ("5.25", "5.25"), (0.000001, "0.000001"), (1.5e3, "1500")]
)
async def test_a_quantity_counts_exactly_as_it_was_written(
    meter: Product, sent: object, counted: str
) -> None:
    assert (await send(meter, event(quantity=sent)))["accepted"] == 1
    assert units(meter) == Decimal(counted)


async def test_blanks_around_a_name_do_not_make_it_another(meter: Product) -> None:
    """Set aside, no account could be named by which to assign it."""
    assert (await send(meter, event(account_number=" 1001 ", metric="api_calls ")))["accepted"] == 1
    assert (await send(meter, event()))["duplicates"] == 1


async def test_one_event_a_line_packed_or_not(meter: Product) -> None:
    lines = [json.dumps(event(f"e-{n}")) for n in range(3)]
    body = "\n".join([lines[0], "", lines[1], "{broken", lines[2], ""]).encode()
    taken = (await send_bytes(meter, body, Content_Type=NDJSON)).json()
    assert (taken["accepted"], taken["rejected"]) == (3, 1)
    assert taken["events"][0]["index"] == 2
    again = await send_bytes(
        meter, gzip.compress(body), Content_Type=NDJSON, Content_Encoding="gzip"
    )
    assert again.json()["duplicates"] == 3
    assert units(meter) == 30


async def test_a_line_cannot_take_the_place_of_the_events_before_it(meter: Product) -> None:
    body = f'{json.dumps(event())}],"events":[{json.dumps(event("e-2"))}'.encode()
    taken = (await send_bytes(meter, body, Content_Type=NDJSON)).json()
    assert (taken["accepted"], taken["rejected"]) == (0, 1)
    assert units(meter) == 0


async def test_two_events_in_a_line_are_no_way_to_send_more(meter: Product) -> None:
    body = f"{json.dumps(event())},{json.dumps(event('e-2'))}".encode()
    taken = (await send_bytes(meter, body, Content_Type=NDJSON)).json()
    assert (taken["accepted"], taken["rejected"]) == (0, 1)


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b"{", {"Content_Type": JSON}, "body: is not JSON"),
        (b"[]", {"Content_Type": JSON}, "body: has the form"),
        (b'{"events": 1}', {"Content_Type": JSON}, "events: is no list"),
        (b'{"events": [], "more": 1}', {"Content_Type": JSON}, "body: has the form"),
        (b"", {"Content_Type": "text/csv"}, "Content-Type: "),
        (b"plain text", {"Content_Type": JSON, "Content_Encoding": "gzip"}, "body: is not gzip"),
        (b"x", {"Content_Type": JSON, "Content_Encoding": "br"}, "Content-Encoding: "),
        (
            gzip.compress(b'{"events": []}', mtime=0)[:-4],
            {"Content_Type": JSON, "Content_Encoding": "gzip"},
            "body: is gzip that is cut off",
        ),
        (
            gzip.compress(b" " * (LARGEST_BYTES + 1), mtime=0),
            {"Content_Type": JSON, "Content_Encoding": "gzip"},
            "body: unpacks to more than",
        ),
    ],
)
async def test_what_is_no_batch_is_refused_whole(
    meter: Product, body: bytes, headers: dict[str, str], words: str
) -> None:
    assert_problem(await send_bytes(meter, body, **headers), 422, words)
    with transaction(meter.engine) as connection:
        assert connection.execute(select(func.count()).select_from(usage_batches)).scalar_one() == 0


async def test_too_many_events_are_refused_whole(meter: Product) -> None:
    many = [event(f"e-{n}") for n in range(10_001)]
    answer = await meter.http.post(USAGE, json={"events": many})
    assert_problem(answer, 422, "10,001", "at most 10,000")
    assert units(meter) == 0


async def test_too_many_bytes_are_refused_while_they_come(meter: Product) -> None:
    answer = await send_bytes(meter, b" " * (LARGEST_BYTES + 1), Content_Type=JSON)
    assert_problem(answer, 413, "20,000,000 bytes")


async def test_a_sender_who_dies_in_the_middle_leaves_nothing_and_is_no_defect(
    meter: Product,
) -> None:
    beginning = json.dumps({"events": [event()]}).encode()[:-1]
    coming: list[Json] = [{"type": "http.request", "body": beginning, "more_body": True}]
    answered: list[Any] = []

    async def receive() -> Json:
        return coming.pop() if coming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answered.append(message)

    key = meter.http.headers["Authorization"].encode()
    headers = [(b"authorization", key), (b"content-type", JSON.encode())]
    request = {"method": "POST", "path": USAGE, "query_string": b"", "headers": headers}
    await meter.app({"type": "http", **request}, receive, send)  # a defect would be raised here
    assert answered[0]["status"] == 400
    assert units(meter) == 0


@given(st.decimals(0, 10**16, places=6) | st.decimals(0, 100, places=8))
def test_a_number_counts_as_it_was_written_or_not_at_all(quantity: Decimal) -> None:
    """A number of JSON with a fraction may have more digits than whoever reads it keeps."""
    written = json.dumps(event(quantity="?")).replace('"?"', f"{quantity:f}")
    decoded = decode(f'{{"events": [{written}]}}'.encode(), JSON)
    assert [Decimal(sent.quantity) for sent in decoded.events] in ([quantity], [])
    assert len(decoded.events) + len(decoded.malformed) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
    st.lists(st.sampled_from(sorted(event())), unique=True, max_size=5),
)
def test_whatever_stands_for_an_event_is_told_good_or_bad(odd: object, fields: list[str]) -> None:
    """The good ones around it stay, each at its place."""
    strange = {**event("odd"), **dict.fromkeys(fields, odd)} if fields else odd
    body = json.dumps({"events": [event("first"), strange, event("last")]}).encode()
    decoded = decode(body, JSON)
    places = [sent.place for sent in decoded.events]
    assert sorted(places + [judged.place for judged in decoded.malformed]) == [0, 1, 2]
    assert {0, 2} <= set(places)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_refused(body: bytes) -> None:
    for kind in (JSON, NDJSON):
        try:
            decoded = decode(body, kind)
        except InvalidField:
            continue
        assert len(decoded.events) == 0
