"""What people fill in, read as they meant it."""

import re
from urllib.parse import parse_qsl

from fastapi import Request

from console.billing_api import FormRefused

_LARGEST = 64_000  # bytes
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)


class Fields(dict[str, str]):
    """What a form brought; a field that it does not have is empty."""

    def __missing__(self, name: str) -> str:
        return ""


async def read_form(request: Request) -> Fields:
    """The fields, each in one line without blanks around it. Raises FormRefused for too much."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise FormRefused(413, f"A form has at most {_LARGEST:,} bytes; shorten the texts.")
    fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    return Fields((name, _CONTROL.sub(" ", value).strip()) for name, value in fields)


def given(form: Fields, *names: str) -> dict[str, str]:
    """What of `names` is not empty."""
    return {name: form[name] for name in names if form[name]}


def figure(text: str) -> str:
    """A number as people write it, `1,000.50` or `19 %`, as the API takes it; the rest as it is."""
    plain = text.removesuffix("%").replace(" ", "")
    return plain.replace(",", "") if _THOUSANDS.fullmatch(plain) else plain
