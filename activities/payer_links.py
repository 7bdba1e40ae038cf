"""The addresses behind which a payer sees an invoice, pays it, or changes the card."""

from datetime import date

from domain.payer_links import LinkPurpose, payer_token


class PayerLinks:
    """`public_url`: where the payer's pages are; `secret`: what signs their links."""

    def __init__(self, public_url: str, secret: str) -> None:
        self._public_url = public_url.rstrip("/")
        self._secret = secret

    def pay(self, number: str, link_version: int) -> str:
        """Good until the invoice's link version is raised."""
        token = payer_token(self._secret, LinkPurpose.PAY, number, link_version)
        return f"{self._public_url}/pay/{token}"

    def card_setup(self, number: str, link_version: int, expires_on: date) -> str:
        """Good through `expires_on`, unless the invoice's link version is raised before."""
        token = payer_token(
            self._secret, LinkPurpose.CARD, number, link_version, expires_on=expires_on
        )
        return f"{self._public_url}/payment-method/{token}"
