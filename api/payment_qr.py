"""The transfer of an invoice as a QR code that banking apps read.

Source: EPC069-12 for the code, EPC409-09 for the countries of SEPA.
"""

from decimal import Decimal

from segno.encoder import DataOverflowError
from segno.helpers import make_epc_qr

from domain.parties import Seller

_SEPA = frozenset(
    "AD AL AT BE BG CH CY CZ DE DK EE ES FI FR GB GI GR HR HU IE IS IT LI LT LU LV MC MD ME MK MT "
    "NL NO PL PT RO RS SE SI SK SM VA".split()
)
_LONGEST_NAME = 70


def payment_qr(seller: Seller, currency: str, amount: Decimal, reference: str) -> str | None:
    """An SVG as a data: address; None where no SEPA transfer can pay it.

    That is any currency but the euro, an account outside SEPA, and nothing to pay.
    """
    iban = seller.iban.replace(" ", "")
    if currency != "EUR" or iban[:2] not in _SEPA or amount <= 0:
        return None
    name = " ".join(seller.name.split())[:_LONGEST_NAME]
    try:
        code = make_epc_qr(name, iban, amount, text=reference, bic=seller.bic or None)
    except (ValueError, DataOverflowError):
        return None
    return code.svg_data_uri(scale=4, border=4, light="#fff", dark="#000")
