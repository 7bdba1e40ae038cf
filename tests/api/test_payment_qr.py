"""The transfer as a code for banking apps: what it holds, and where there is none."""

from dataclasses import replace
from decimal import Decimal

import segno

from api.payment_qr import payment_qr
from tests.activities.notices import NUMBER, SELLER

TOTAL = Decimal("195.10")


def test_the_code_holds_the_transfer_as_epc069_12_writes_it() -> None:
    transfer = [
        "BCD", "002", "2", "SCT", "COBADEFFXXX", "Meridian API GmbH", "DE89370400440532013000",
        "EUR195.1", "", "", NUMBER,
    ]  # fmt: skip
    content = "\n".join(transfer).encode("iso-8859-1")
    expected = segno.make_qr(content, error="m", boost_error=False)
    assert payment_qr(SELLER, "EUR", TOTAL, NUMBER) == expected.svg_data_uri(
        scale=4, border=4, light="#fff", dark="#000"
    )


def test_what_no_sepa_transfer_can_pay_has_no_code() -> None:
    assert payment_qr(SELLER, "EUR", TOTAL, NUMBER)
    assert payment_qr(replace(SELLER, name="ü" * 300, bic=""), "EUR", TOTAL, NUMBER)
    assert payment_qr(SELLER, "USD", TOTAL, NUMBER) is None
    assert payment_qr(SELLER, "EUR", Decimal("0.00"), NUMBER) is None
    assert payment_qr(SELLER, "EUR", Decimal("1000000000.00"), NUMBER) is None
    assert payment_qr(replace(SELLER, bic="SHORT"), "EUR", TOTAL, NUMBER) is None
    assert payment_qr(replace(SELLER, iban="US12 3456"), "EUR", TOTAL, NUMBER) is None
