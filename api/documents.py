"""Stored PDFs as they are answered: byte for byte, under their number, with their hash as ETag."""

from typing import Any

from fastapi import Response

from storage.documents import PDF

PDF_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {PDF: {}}, "description": "The document as it was sent."}
}


def pdf_response(number: str, sha256: str, content: bytes) -> Response:
    return Response(
        content,
        media_type=PDF,
        headers={
            "Content-Disposition": f'inline; filename="{number}.pdf"',
            "ETag": f'"{sha256}"',
        },
    )
