"""Answers as CSV files: where the request asks for one, and how it is sent."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import Header, Query
from fastapi.responses import StreamingResponse

_CSV = "text/csv"
AS_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {_CSV: {"schema": {"type": "string"}}}, "description": "JSON, or a CSV file."}
}
"""For OpenAPI: the route answers either."""

Format = Annotated[
    Literal["json", "csv"] | None, Query(description="csv: a file; `Accept: text/csv` is the same.")
]
Accept = Annotated[str, Header(include_in_schema=False)]


def wants_csv(format: str | None, accept: str) -> bool:
    """Whether the query says so, or else the first kind that the client names is CSV."""
    if format is not None:
        return format == "csv"
    return accept.split(",")[0].partition(";")[0].strip().lower() == _CSV


def csv_file(name: str, lines: Iterable[str]) -> StreamingResponse:
    """`lines` as the file `name`.csv to keep."""
    disposition = f'attachment; filename="{name}.csv"'
    return StreamingResponse(lines, media_type=_CSV, headers={"Content-Disposition": disposition})
