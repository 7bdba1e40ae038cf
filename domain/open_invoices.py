"""Open invoices, indexed once for the many payments that are matched against them."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from domain.payer_names import AGREES, NameLikeness, different_numbers, name_key, same_words
from domain.references import plain_text

_NAMESAKES = 50  # customers who are looked at because a word of their name occurs in the payer's


@dataclass(frozen=True)
class IncomingPayment:
    """Money that came in; `amount` is above zero. Texts may be empty."""

    amount: Decimal
    currency: str
    payer_name: str
    payer_iban: str
    remittance: str
    end_to_end_id: str = ""


@dataclass(frozen=True)
class OpenInvoice:
    """An invoice with something left to pay; `known_ibans`: from which its customer paid before."""

    number: str
    account_number: str
    customer_name: str
    currency: str
    open_amount: Decimal
    due_on: date
    known_ibans: tuple[str, ...] = ()


@dataclass(frozen=True)
class SettledInvoice:
    """An invoice that asks for nothing any more; `status`: paid, void or uncollectible."""

    number: str
    account_number: str
    customer_name: str
    status: str


Found = dict[str, OpenInvoice]  # by number


class OpenInvoices:
    """Open invoices by number, account, amount and payer.

    Args:
        invoices: all that are open.
        settled: those that are not open any more, as far as a payment may still name them.
        likeness: compares names; by default only the same words are alike.
    """

    def __init__(
        self,
        invoices: Iterable[OpenInvoice],
        *,
        settled: Iterable[SettledInvoice] = (),
        likeness: NameLikeness = same_words,
    ) -> None:
        self.by_number: Found = {}
        self.settled = {invoice.number: invoice for invoice in settled}
        self._likeness = likeness
        # by the account's number in capitals, which is how a text is searched for it
        self._by_account: dict[str, Found] = defaultdict(dict)
        self._by_amount: dict[tuple[str, Decimal], Found] = defaultdict(dict)
        self._by_sequence: dict[str, Found] = defaultdict(dict)
        self._accounts_by_iban: dict[str, set[str]] = defaultdict(set)
        self._accounts_by_name: dict[str, set[str]] = defaultdict(set)
        self._names_by_word: dict[str, list[str]] = defaultdict(list)
        for invoice in invoices:
            self._add(invoice)
            self._accounts_by_name[name_key(invoice.customer_name)].add(invoice.account_number)
            for iban in invoice.known_ibans:
                self._accounts_by_iban[iban].add(invoice.account_number)
        self._accounts_by_name.pop("", None)
        for name in self._accounts_by_name:
            for word in set(name.split()):
                self._names_by_word[word].append(name)

    def of_account(self, account_number: str) -> Collection[OpenInvoice]:
        """The open invoices of an account, whatever the case of its number."""
        return self._by_account.get(plain_text(account_number), {}).values()

    def of_amount(self, amount: Decimal, currency: str) -> Collection[OpenInvoice]:
        return self._by_amount.get((currency, amount), {}).values()

    def of_sequence(self, sequence: str) -> Collection[OpenInvoice]:
        """Those whose numbers end with `sequence`, such as "0047", in any month."""
        return self._by_sequence.get(sequence, {}).values()

    def knows(self, number: str) -> bool:
        return number in self.by_number or number in self.settled

    def pay(self, number: str, amount: Decimal) -> None:
        """From now on `number` has `amount` less to pay; with nothing left it is settled."""
        invoice = self.by_number.pop(number)
        for found in self._indexes(invoice):
            del found[number]
        left = invoice.open_amount - amount
        if left > 0:
            self._add(replace(invoice, open_amount=left))
        else:
            self.settled[number] = SettledInvoice(
                number, invoice.account_number, invoice.customer_name, "paid"
            )

    def payer_is(self, payment: IncomingPayment, invoice: OpenInvoice) -> bool:
        """Whether the payer's account or name is that of the invoice's customer.

        A name is not, where that of another customer is more alike.
        """
        if payment.payer_iban and payment.payer_iban in invoice.known_ibans:
            return True
        payer, customer = name_key(payment.payer_name), name_key(invoice.customer_name)
        likely = self.accounts_of_payer(payment)
        if payer in self._accounts_by_name:
            return invoice.account_number in likely
        own = self._alike(payer, [customer])
        return bool(own) and own[0][1] >= max(likely.values(), default=0)

    def accounts_of_payer(self, payment: IncomingPayment) -> dict[str, int]:
        """Account numbers of the customers who may be the payer, with the likeness of 100.

        Where one has the payer's very name, those with merely similar ones are not the payer.
        """
        found = dict.fromkeys(self._accounts_by_iban.get(payment.payer_iban, ()), 100)
        payer = name_key(payment.payer_name)
        if payer in self._accounts_by_name:
            return found | dict.fromkeys(self._accounts_by_name[payer], 100)
        names = self._namesakes(payer)
        for place, score in self._alike(payer, names):
            for account in self._accounts_by_name[names[place]]:
                found[account] = max(score, found.get(account, 0))
        return found

    def _alike(self, payer: str, names: list[str]) -> list[tuple[int, int]]:
        """Places and scores of the names that may be the payer's, the best first."""
        if not payer or not names:
            return []
        return [
            (place, score)
            for place, score in self._likeness(payer, names, at_least=AGREES)
            if names[place] and not different_numbers(payer, names[place])
        ]

    def _namesakes(self, payer: str) -> list[str]:
        """Names that share a word with `payer`, those with its rarest words first."""
        found: dict[str, None] = {}
        known = (word for word in set(payer.split()) if word in self._names_by_word)
        for word in sorted(known, key=lambda word: (len(self._names_by_word[word]), word)):
            found |= dict.fromkeys(self._names_by_word[word][:_NAMESAKES])
            if len(found) >= _NAMESAKES:
                break
        return list(found)[:_NAMESAKES]

    def _add(self, invoice: OpenInvoice) -> None:
        self.by_number[invoice.number] = invoice
        for found in self._indexes(invoice):
            found[invoice.number] = invoice

    def _indexes(self, invoice: OpenInvoice) -> tuple[Found, ...]:
        return (
            self._by_account[plain_text(invoice.account_number)],
            self._by_amount[invoice.currency, invoice.open_amount],
            self._by_sequence[invoice.number.rpartition("-")[2]],
        )
