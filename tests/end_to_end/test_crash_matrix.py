"""The worker killed at every place of the collection: nothing is doubled, lost or stuck."""

import asyncio
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update
from temporalio.client import WorkflowExecutionStatus

from domain.dunning import CollectionState
from stack.embedded import Part
from storage.engine import transaction
from storage.importing.directory import import_directory
from storage.snapshots import policy_to_json
from storage.tables import customers, dunning_policies
from tests.builders import Subscriber, write_billing_files
from tests.end_to_end.collecting import Collecting, collecting
from tests.end_to_end.conftest import ORDER, House, open_house
from tests.end_to_end.crash_cases import POLICIES, crash_cases
from tests.end_to_end.crash_points import CRASH_FOLDER
from tests.end_to_end.crash_scripts import NO_CARD, PERIOD, CrashCase, Stage
from workflows.contracts.collection import ReleaseOrder
from workflows.ids import invoice_id
from workflows.starting import release_cycle

CRASHING = Part("worker", (sys.executable, "-m", "tests.end_to_end.crashing_worker"))
PATIENCE_SECONDS = 900
SHORT_DAYS = {
    "BILLWRIGHT_DAY_SECONDS": "2",
    "BILLWRIGHT_PAYMENT_TERMS_DAYS": "0",
    "BILLWRIGHT_SWEEP_SECONDS": "5",
}
CHARGING = ("/v1/payment_intents", "/v1/payment_intents/*/confirm", "/v1/refunds")
FAULTS = [
    *(
        (kind, path)
        for kind in ("timeout_after", "drop_after", "error_stored")
        for path in CHARGING
    ),
    *(("error_stored_after", path) for path in CHARGING),
    *((kind, "/v1/checkout/sessions") for kind in ("timeout_after", "drop_after")),
]
AROUND_THE_PROCESSOR = (
    "charge_invoice",
    "open_checkout",
    "open_card_setup",
    "close_checkouts",
    "refund_credit_note",
)
_CONFIRMED = (200, 402)


@pytest.fixture
def crash_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "crashes"
    for name in ("armed", "hit"):
        (folder / name).mkdir(parents=True)
    monkeypatch.setenv(CRASH_FOLDER, str(folder))
    for name, value in SHORT_DAYS.items():
        monkeypatch.setenv(name, value)
    return folder


async def test_a_worker_killed_anywhere_doubles_nothing_and_leaves_nothing_behind(
    tmp_path: Path, crash_folder: Path
) -> None:
    cases = crash_cases()
    with open_house(tmp_path / "home", worker=CRASHING) as house:
        async with collecting(house, patience_seconds=PATIENCE_SECONDS) as opened:
            stage = Stage(opened, crash_folder)
            await _prepare(house, stage, cases, tmp_path / "files")
            answer = house.http.post("/api/billing/cycles", json=ORDER | {"hold_reminders": True})
            assert answer.status_code == 202
            bad_day = asyncio.create_task(_bad_day(stage, cases))
            problems = await _play(stage, [case for case in cases if not case.last])
            await bad_day
            problems += _faults_unmet(await opened.requests())
            last = [case for case in cases if case.last]
            await _release(stage, last)
            problems += [*await _play(stage, last), *await opened.differences()]
            deaths = (house.addresses.home / "logs" / "worker.log").read_text().count("ready")
    kills = sum(bool(case.deed) for case in cases)
    print(
        f"\n{kills} kill points, {len(FAULTS)} faults of the card processor, lost signals and who "
        f"meets the faults: {len(cases)} invoices; the worker started {deaths} times"
    )
    assert not problems, "\n".join(problems)


async def _prepare(house: House, stage: Stage, cases: list[CrashCase], files: Path) -> None:
    """Customers in the order of their cases, those with a card at the processor too."""
    cards = {f"cus_{case.account}": case.card_id for case in cases if case.card_id}
    write_billing_files(files, [_subscriber(case) for case in cases])
    import_directory(house.engine, files, now=datetime.now(UTC))
    with transaction(house.engine) as connection:
        for code, policy in POLICIES.items():
            connection.execute(
                insert(dunning_policies).values(code=code, steps=policy_to_json(policy))
            )
        for case in cases:
            connection.execute(
                update(customers)
                .where(customers.c.account_number == case.account)
                .values(dunning_policy=case.policy)
            )
    await stage.collecting.seed(cards)
    for case in cases:
        if case.armed:
            stage.arm(case)


def _subscriber(case: CrashCase) -> Subscriber:
    columns = {"payment_method": "card"} if case.card else {}
    if case.card_id:
        columns |= {
            "stripe_customer_id": f"cus_{case.account}",
            "stripe_payment_method_id": case.card_id,
        }
    return Subscriber(case.account, columns=columns)


async def _bad_day(stage: Stage, cases: list[CrashCase]) -> None:
    """Once each worker that was to die around the processor is dead, the processor fails: what
    was begun goes on into its failures.
    """
    around = [case for case in cases if case.deed in AROUND_THE_PROCESSOR]
    while not all(stage.was_hit(case) for case in around) and stage.collecting.is_patient:
        await asyncio.sleep(0.5)
    for kind, path in FAULTS:
        await stage.collecting.fault(kind, path)
    stage.bad_day.set()


async def _play(stage: Stage, cases: list[CrashCase]) -> list[str]:
    """Runs the scripts side by side until all is told that is expected; what is wrong then."""

    async def play(case: CrashCase) -> None:
        await case.script(stage, case)
        await stage.collecting.until(
            case.account, "over", lambda s: Counter(s.events) == Counter(case.events)
        )

    # one that never comes to its end is told in full by what is compared
    outcomes = await asyncio.gather(*(play(case) for case in cases), return_exceptions=True)
    broken = [
        f"{case}: {outcome!r}"
        for case, outcome in zip(cases, outcomes, strict=True)
        if isinstance(outcome, BaseException) and not isinstance(outcome, AssertionError)
    ]
    await asyncio.sleep(3)  # whatever comes too much has time to come
    stage.collecting.look()
    return [*broken, *await _problems(stage, cases)]


async def _release(stage: Stage, cases: list[CrashCase]) -> None:
    """The whole cycle is released, and with it every invoice that is still on hold."""
    for case in cases:
        stage.arm(case)
    await release_cycle(
        stage.collecting.client,
        ReleaseOrder(PERIOD, "test"),
        task_queue=stage.collecting.app.settings.task_queue,
    )


async def _problems(stage: Stage, cases: list[CrashCase]) -> list[str]:
    opened = stage.collecting
    intents = await opened.objects("payment_intents")
    requests = await opened.requests()
    mails = opened.mails()
    found = await _pages_doubled(opened, cases)
    for case in cases:
        for problem in (
            *_untrue(stage, case),
            *_charges_doubled(case, intents, requests),
            *_mails_amiss(opened, case, mails),
            *await _stuck(opened, case),
        ):
            found.append(f"{case}: {problem}")
    return found


def _faults_unmet(requests: list[dict[str, Any]]) -> list[str]:
    happened = Counter(request.get("fault") for request in requests)
    return [
        f"{kind} happened {happened[kind]} times"
        for kind, count in Counter(kind for kind, _ in FAULTS).items()
        if happened[kind] != count
    ]


def _untrue(stage: Stage, case: CrashCase) -> list[str]:
    """Each transition is told once, and each kill point killed."""
    standing = stage.collecting.standings[case.account]
    found = []
    if case.deed and not stage.was_hit(case):
        found.append("was not killed there")
    if standing.state != case.state:
        found.append(f"is {standing.state}, not {case.state}")
    told, expected = Counter(standing.events), Counter(case.events)
    if told != expected:
        found.append(f"told too much {told - expected}, not told {expected - told}")
    return found


def _charges_doubled(
    case: CrashCase, intents: list[dict[str, Any]], requests: list[dict[str, Any]]
) -> list[str]:
    """One payment an attempt was ever confirmed, and that one once."""
    ours = [i for i in intents if i["metadata"].get("invoice_number") == case.invoice]
    confirmed = Counter(
        r["object"]
        for r in requests
        if r["path"].endswith("/confirm") and r["status"] in _CONFIRMED and not r["replayed"]
    )
    attempts: dict[str, list[int]] = defaultdict(list)
    for intent in ours:
        if "attempt" in intent["metadata"] and intent["latest_charge"]:
            attempts[intent["metadata"]["attempt"]].append(max(confirmed[intent["id"]], 1))
    found = [f"attempt {a} was confirmed {n}" for a, n in attempts.items() if n != [1]]
    begun = case.events.count("charge_begun")
    tried = begun - (case.card == NO_CARD)
    if len(attempts) != tried:
        found.append(f"{len(attempts)} attempts were confirmed, not {tried}")
    return found


def _mails_amiss(opened: Collecting, case: CrashCase, mails: Counter[str]) -> list[str]:
    """What was recorded as sent is in the mailbox once, and nothing else."""
    recorded = opened.ask(
        "SELECT message_id, emails.kind FROM emails JOIN invoices ON invoices.id = invoice_id"
        " WHERE number = :number AND sent_at IS NOT NULL",
        number=case.invoice,
    )
    expected = {name: 2 if kind == case.mails_twice else 1 for name, kind in recorded}
    received = {name: n for name, n in mails.items() if f"<{case.invoice}." in name}
    return [] if received == expected else [f"mailbox {received}, recorded {expected}"]


async def _stuck(opened: Collecting, case: CrashCase) -> list[str]:
    """The workflow waits for a timer or a person, or has ended where the invoice has."""
    found = await opened.client.get_workflow_handle(invoice_id(case.invoice)).describe()
    over = CollectionState(opened.standings[case.account].state).is_end
    expected = WorkflowExecutionStatus.COMPLETED if over else WorkflowExecutionStatus.RUNNING
    if found.status is not expected:
        return [f"its workflow is {found.status}"]
    pending = [a.activity_type.name for a in found.raw_description.pending_activities]
    return [f"its workflow waits for {pending}"] if pending else []


async def _pages_doubled(opened: Collecting, cases: list[CrashCase]) -> list[str]:
    """One page is open where a payer asked for one, and none where nothing is open."""
    sessions = await opened.objects("checkout/sessions")
    found = []
    for case in cases:
        pages = [
            session["status"]
            for session in sessions
            if session["mode"] == "payment"
            and session["client_reference_id"] == case.invoice
            and session["status"] == "open"
        ]
        if len(pages) != (case.deed == "open_checkout"):
            found.append(f"{case}: {len(pages)} open pages")
    return found
