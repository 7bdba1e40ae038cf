"""What the API answered the demonstration."""

import json
from typing import Any

import httpx

from stack.errors import StackError


def checked(answer: httpx.Response) -> Any:
    """The JSON of the answer. Raises StackError for a refusal."""
    if answer.is_error:
        raise StackError(f"The API refused: {json.loads(answer.text).get('detail', answer.text)}")
    return answer.json()
