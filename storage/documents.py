"""Documents by the hash of their bytes: stored once, never changed."""

import hashlib

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from domain.errors import NotFound
from storage.tables import documents

PDF = "application/pdf"


def store_document(connection: Connection, content: bytes, media_type: str = PDF) -> str:
    """Stores `content` unless it is there, and returns its SHA-256 in hex."""
    sha256 = hashlib.sha256(content).hexdigest()
    connection.execute(
        insert(documents)
        .values(sha256=sha256, media_type=media_type, content=content)
        .on_conflict_do_nothing()
    )
    return sha256


def fetch_document(connection: Connection, sha256: str) -> bytes:
    """The bytes of a stored document. Raises NotFound."""
    content = connection.execute(
        select(documents.c.content).where(documents.c.sha256 == sha256)
    ).scalar_one_or_none()
    if content is None:
        raise NotFound(f"There is no document {sha256}.")
    return bytes(content)
