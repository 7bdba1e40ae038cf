"""The entries of a statement together: their references, their balance, their number."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from storage.importing.statements.model import (
    Place,
    Statement,
    StatementBalance,
    StatementEntry,
)

_DIGEST_LENGTH = 24


@dataclass
class Entries:
    """Collects the entries of one file.

    `longest`: how many entries a file may have. An entry of nothing, such as a bank's notice, is
    left out: no money moved.
    """

    file: str
    longest: int
    account: str = ""
    found: dict[str, tuple[StatementEntry, Place]] = field(default_factory=dict)
    seen: int = 0
    _alike: Counter[str] = field(default_factory=Counter)

    def add(self, entry: StatementEntry, place: Place) -> None:
        """Takes `entry`; its bank_reference may be empty, and is derived then.

        The same entry twice counts once. Raises StatementRefused for another entry under a
        reference that was taken, and beyond `longest`.
        """
        self.seen += 1
        if self.seen > self.longest:
            raise Place(self.file).refuse(
                f"has more than {self.longest:,} entries; ask the bank for shorter periods"
            )
        if not entry.amount:
            return
        if not entry.bank_reference:
            entry = replace(entry, bank_reference=self.derive(entry))
        before = self.found.setdefault(entry.bank_reference, (entry, place))
        if before[0] != entry:
            raise place.refuse(
                f"bank reference {entry.bank_reference} stands for another entry already, of "
                f"{before[0].booked_on} over {before[0].amount} {before[0].currency} in line "
                f"{before[1].line}; correct one of them"
            )

    def derive(self, entry: StatementEntry, hint: str = "") -> str:
        """A reference out of the content alone, so that the same entry has it in every file.

        `hint`: what the bank gives, where that need not be unique; it leads the reference.
        Entries alike in everything are told apart by counting them.
        """
        content = "\x1f".join(
            [
                self.account,
                str(entry.booked_on),
                f"{entry.amount:f}",
                entry.currency,
                entry.payer_name,
                entry.payer_iban,
                entry.remittance,
                entry.end_to_end_id,
                str(entry.is_reversal),
                hint,
            ]
        )
        self._alike[content] += 1
        running = f"{content}\x1f{self._alike[content]}"
        digest = hashlib.sha256(running.encode()).hexdigest()[:_DIGEST_LENGTH]
        return f"{hint}-{digest}" if hint else f"derived-{digest}"

    def __iter__(self) -> Iterator[StatementEntry]:
        return (entry for entry, _ in self.found.values())

    def statement(
        self,
        format: str,
        numbers: Iterable[str],
        currency: str = "",
        balances: Iterable[StatementBalance] = (),
    ) -> Statement:
        """`currency`: the account's, where the file names it."""
        currencies = {entry.currency for entry in self}
        return Statement(
            format=format,
            account_iban=self.account,
            statement_number=",".join(dict.fromkeys(number for number in numbers if number)),
            currency=currency or (currencies.pop() if len(currencies) == 1 else ""),
            entries=tuple(self),
            balances=tuple(balances),
        )


def require_balance(
    place: Place, opening: Decimal | None, moved: Decimal, closing: Decimal | None
) -> None:
    """Raises StatementRefused unless `opening` and `moved` come to `closing`; None: not told."""
    if opening is not None and closing is not None and opening + moved != closing:
        raise place.refuse(
            f"opens with {opening:f} and closes with {closing:f}, and its entries come to "
            f"{moved:f}, so some are missing or wrong; ask the bank for the whole statement"
        )
