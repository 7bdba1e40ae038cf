"""One statement out of the bytes of a file, whatever its format."""

import re
from collections.abc import Callable

from storage.importing.statements.camt import read_camt
from storage.importing.statements.delimited import COLUMNS, read_delimited
from storage.importing.statements.entries import Entries
from storage.importing.statements.model import LONGEST_NAME, Place, Statement
from storage.importing.statements.mt940 import read_mt940

LARGEST = 20_000_000
MOST_ENTRIES = 100_000

Reader = Callable[[bytes, Place, Entries], Statement]

_HEAD = 4_096
_XML = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\x00]*<")
_MT940 = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{1:|(?:[^\r\n]{0,80}\r?\n){0,8}?:20:)")
_OTHERS = {
    b"PK\x03\x04": "is a ZIP archive or a spreadsheet; unpack it, or save it as CSV",
    b"\x1f\x8b": "is packed with gzip; unpack it",
    b"%PDF": "is a PDF; ask the bank for CAMT.053, MT940 or CSV",
}


def read_statement(
    content: bytes,
    *,
    filename: str = "",
    max_bytes: int = LARGEST,
    max_entries: int = MOST_ENTRIES,
) -> Statement:
    """The statement in `content`: CAMT.053, MT940 or CSV, told apart by the content.

    `filename` only names the place in a refusal. All of the file is read or none: raises
    StatementRefused, which names the line, the entry and the element, and the remedy.
    """
    place = Place(_printable(filename))
    if len(content) > max_bytes:
        raise place.refuse(
            f"has {len(content):,} bytes and may have {max_bytes:,}; "
            "ask the bank for shorter periods"
        )
    return _reader(content, place)(content, place, Entries(place.file, max_entries))


def _reader(content: bytes, place: Place) -> Reader:
    head = content[:_HEAD]
    for magic, reason in _OTHERS.items():
        if head.startswith(magic):
            raise place.refuse(reason)
    if _XML.match(head):
        return read_camt
    if _MT940.match(head):
        return read_mt940
    if b"bank_reference" in head.split(b"\n", 1)[0]:
        return read_delimited
    if not head.strip():
        raise place.refuse("is empty; give a statement")
    raise place.refuse(
        "is none of CAMT.053 (XML), MT940 (with a line :20:) and CSV "
        f"(with the columns {', '.join(COLUMNS)}); ask the bank for one of them"
    )


def _printable(filename: str) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in filename[:LONGEST_NAME])
    return shown.encode(errors="replace").decode()
