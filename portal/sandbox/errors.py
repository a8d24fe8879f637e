"""Errors in the shape that Stripe answers with."""

from __future__ import annotations

from typing import Any

_DOCUMENTED = "https://stripe.com/docs/error-codes/"


class StripeError(Exception):
    """An answer other than 200.

    `keep` commits what the request changed before it failed (a declined charge is such a change).
    `saved` says whether the answer is stored under the request's idempotency key; Stripe stores
    what began to execute and does not store what failed validation.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keep: bool = False,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.keep = keep
        self.extra = extra
        self.headers: dict[str, str] = {}

    @property
    def saved(self) -> bool:
        """Tell whether a repeat with the same idempotency key gets this answer again."""
        return self.status == 402 or self.status >= 500

    def body(self) -> dict[str, Any]:
        """Return the JSON body; attributes without a value are left out, as Stripe does."""
        error: dict[str, Any] = {
            "type": self.type,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            **self.extra,
        }
        if self.code and self.code != "sandbox_unsupported":
            error["doc_url"] = _DOCUMENTED + self.code.replace("_", "-")
        return {"error": {key: value for key, value in error.items() if value is not None}}


def as_v2(body: dict[str, Any]) -> dict[str, Any]:
    """Return an error in the shape of version 2 of the API: no param, always a code."""
    error = body["error"]
    code = {"resource_missing": "not_found", None: "invalid_request"}.get(
        error.get("code"), error.get("code")
    )
    kept = {name: error[name] for name in ("doc_url", "message", "type") if name in error}
    return {"error": {"code": code, **kept}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """Return the 400 for a request that breaks a rule."""
    return StripeError(400, message, param=param, code=code)


def missing_param(param: str) -> StripeError:
    """Return the 400 for a required parameter that was not sent."""
    return invalid(f"Missing required param: {param}.", param, "parameter_missing")


def unsupported(what: str, param: str | None = None) -> StripeError:
    """Return the 400 for what Stripe knows and the sandbox doesn't model: it is never ignored."""
    message = f"Sandbox: {what} is valid in Stripe but is not modelled here."
    return invalid(message, param, "sandbox_unsupported")


def not_found(noun: str, identifier: str) -> StripeError:
    """Return the 404 for an id in the address that names nothing on this account."""
    message = f"No such {noun}: '{identifier}'"
    return StripeError(404, message, code="resource_missing", param="id")


def no_such(noun: str, identifier: str, param: str) -> StripeError:
    """Return the 400 for an id in a parameter that names nothing on this account."""
    return invalid(f"No such {noun}: '{identifier}'", param, "resource_missing")


def unrecognized(method: str, path: str) -> StripeError:
    """Return the 404 for an address that is not part of the API."""
    message = (
        f"Unrecognized request URL ({method}: {path}). "
        "If you are trying to list objects, remove the trailing slash. "
        "If you are trying to retrieve an object, make sure you passed a valid "
        "(non-empty) identifier in your code."
    )
    return StripeError(404, message)
