"""How alike names are, for the matching of payments."""

from collections.abc import Sequence

from rapidfuzz import fuzz, process


def name_likeness(name: str, names: Sequence[str], *, at_least: int) -> Sequence[tuple[int, int]]:
    """`domain.payer_names.NameLikeness` by sets of words: extra words cost nothing."""
    found = process.extract(
        name, names, scorer=fuzz.token_set_ratio, score_cutoff=at_least, limit=None
    )
    return [(place, int(score)) for _, score, place in found]
