"""What the API answered the demonstration."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx

from stack.errors import StackError


def checked(answer: httpx.Response) -> Any:
    """The JSON of the answer. Raises StackError for a refusal."""
    if answer.is_error:
        raise StackError(f"The API refused: {json.loads(answer.text).get('detail', answer.text)}")
    return answer.json()


def answer_once(
    api: httpx.Client,
    path: str,
    is_there: Callable[[Any], bool],
    what: str,
    *,
    patience_seconds: int,
) -> Any:
    """What `path` answers, as soon as it is as wanted.

    Raises StackError for a refusal, and with `what` once the patience is over.
    """
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        answer = checked(api.get(path))
        if is_there(answer):
            return answer
        time.sleep(0.2)
    raise StackError(f"{what} in {patience_seconds} s; see the worker's log.")
