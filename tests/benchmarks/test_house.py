"""When a measured cycle has left nothing to do behind it."""

from pathlib import Path

from sqlalchemy import Engine

from benchmarks.house import mail_outstanding
from storage.documents import store_document
from storage.emails import EmailKey, prepare_email, record_sent
from storage.engine import transaction
from storage.posting import issue_invoice
from tests.builders import ACTOR, ISSUED_ON, open_february, plan_all


def outstanding(engine: Engine) -> int:
    with transaction(engine) as connection:
        return mail_outstanding(connection)


def test_a_cycles_mail_is_done_when_every_email_is_recorded_as_sent(
    engine: Engine, tmp_path: Path
) -> None:
    plan_all(engine, open_february(engine, tmp_path / "files"))
    number = "INV-2026-02-0001"
    assert outstanding(engine) == 0
    with transaction(engine) as connection:
        issue_invoice(connection, number, store_document(connection, b"pdf"), actor=ACTOR)
    assert outstanding(engine) == 1
    for kind in ("invoice", "receipt"):
        key = EmailKey(number, kind, 0)
        with transaction(engine) as connection:
            prepare_email(
                connection, key, recipients=["a@b.example"], subject="s", business_date=ISSUED_ON
            )
        assert outstanding(engine) == 1
        with transaction(engine) as connection:
            record_sent(connection, key, business_date=ISSUED_ON, actor=ACTOR)
        assert outstanding(engine) == 0
