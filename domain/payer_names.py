"""Names of payers, as banks shorten and rewrite them."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

AGREES = 85
"""The likeness, of 100, from which on a payer's name is taken for a customer's."""

_WORD = re.compile(r"[0-9a-z]+", re.ASCII)
_LEGAL_FORMS = frozenset(
    "ab ag and aps as asa bhd bv co company corp corporation da de del der die doo dr ek est et eg "
    "gbr gesellschaft gmbh herr frau inc incorporated kg kgaa kk la limited llc llp ltd mbh mr mrs "
    "ms nv of og ohg oo oy oyj plc pte pty pvt rl sa sarl sas sci se sl sp spa spol sprl spzoo srl "
    "sro the und ug y z zoo e i u".split()
)
_SPELT_OUT = {"ae": "a", "oe": "o", "ue": "u"}
_WITHOUT_ACCENT = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "a", "œ": "o"})


class NameLikeness(Protocol):
    """How alike names are, whatever the order of their words and the words that only one has."""

    def __call__(
        self, name: str, names: Sequence[str], *, at_least: int
    ) -> Sequence[tuple[int, int]]:
        """Places in `names` with their scores of 0 to 100, the best first; none below `at_least`.

        All names are as `name_key` gives them.
        """


@lru_cache(maxsize=50_000)
def name_key(name: str) -> str:
    """The words that tell a name from others, in their order; "" if there are none.

    Accents, case, legal forms and the two ways to write an umlaut make no difference.
    """
    folded = unicodedata.normalize("NFKD", name.casefold().translate(_WITHOUT_ACCENT))
    plain = "".join(character for character in folded if not unicodedata.combining(character))
    plain = plain.replace(".", "").replace("'", "")
    for spelt, letter in _SPELT_OUT.items():
        plain = plain.replace(spelt, letter)
    words = [word for word in _WORD.findall(plain) if word not in _LEGAL_FORMS]
    return " ".join(words)


def different_numbers(name: str, other: str) -> bool:
    """Whether both names have numbers in them, and not the same: "Filiale 12", "Filiale 21"."""
    numbers, others = (
        {word for word in key.split() if any(c.isdigit() for c in word)} for key in (name, other)
    )
    return bool(numbers and others and numbers != others)


def same_words(name: str, names: Sequence[str], *, at_least: int) -> Sequence[tuple[int, int]]:
    """The strictest likeness: 100 for names of the same words, nothing for others."""
    words = sorted(name.split())
    return [(place, 100) for place, other in enumerate(names) if words == sorted(other.split())]
