"""Refusals in Stripe's form: status, type, code, message, param."""

from typing import Any

Json = dict[str, Any]


class SandboxError(Exception):
    """An answer that is an error.

    Attributes:
        status: Of HTTP.
        error: The object under `error` in the answer.
        keeps: Whether what was written before it stays: a decline leaves a failed charge.
        stored: Whether it is the answer of its idempotency key from then on. Stripe stores none
            for parameters that it does not even understand.
    """

    def __init__(
        self, status: int, error: Json, *, keeps: bool = False, stored: bool = True
    ) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.error = error
        self.keeps = keeps
        self.stored = stored


def invalid(
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    status: int = 400,
    stored: bool = True,
    **more: Any,
) -> SandboxError:
    """`invalid_request_error`: the request can never succeed as it is."""
    error = {"type": "invalid_request_error", "code": code, "message": message, "param": param}
    return SandboxError(status, _without_none(error | more), stored=stored)


def missing(kind: str, name: str, *, param: str, in_path: bool = False) -> SandboxError:
    """`resource_missing`: 404 where the address names it, 400 where a parameter does."""
    return invalid(
        f"No such {kind}: '{name}'",
        code="resource_missing",
        param=param,
        status=404 if in_path else 400,
    )


def card_error(message: str, *, code: str, decline_code: str | None = None, **more: Any) -> Json:
    """The object of a decline, as it stands in an error and in `last_payment_error`."""
    return _without_none(
        {
            "type": "card_error",
            "code": code,
            "decline_code": decline_code,
            "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
            "message": message,
            **more,
        }
    )


def declined(error: Json) -> SandboxError:
    """A 402 that leaves its traces."""
    return SandboxError(402, error, keeps=True)


def internal_error() -> SandboxError:
    """A 500, as Stripe words it."""
    message = "An unknown error occurred."
    return SandboxError(500, {"type": "api_error", "message": message})


def _without_none(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
