"""Holds every request that leaves the Stripe SDK against Stripe's own document."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import stripe

from portal.sandbox import spec

_FORM = "application/x-www-form-urlencoded"


def wrong_with(
    method: str, url: str, headers: Mapping[str, str], post_data: Any = None
) -> list[str]:
    """List what Stripe's document forbids about one request."""
    method, parts = method.upper(), urlsplit(url)
    said = {name.lower(): value for name, value in headers.items()}
    operation = spec.match(method, parts.path)
    if operation is None:
        return [f"{method} {parts.path}: Stripe has no such request"]
    what = f"{method} {operation.template}"
    found = [f"{what}: {text}" for text in _headers(method, said)]
    if method == "POST" and parts.query:
        found.append(f"{what}: parameters in the address")
    text = parts.query if method in ("GET", "DELETE") else (post_data or "")
    if not isinstance(text, str):
        return [*found, f"{what}: the body is no form"]
    pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    try:
        spec.coerce(operation, pairs, "query" if method in ("GET", "DELETE") else "body")
    except spec.SpecError as refused:
        found.append(f"{what}: {refused.message}")
    return found


def _headers(method: str, said: Mapping[str, str]) -> list[str]:
    found = []
    if said.get("stripe-version") != spec.API_VERSION:
        found.append(f"Stripe-Version is {said.get('stripe-version')}")
    if not said.get("authorization", "").startswith("Bearer "):
        found.append("there is no key")
    if method == "POST" and said.get("content-type") != _FORM:
        found.append(f"Content-Type is {said.get('content-type')}")
    if method == "POST" and not 0 < len(said.get("idempotency-key", "")) <= 255:
        found.append("Idempotency-Key is missing or too long")
    return found


@dataclass
class Gate:
    """What was seen on the way out."""

    seen: int = 0
    wrong: list[str] = field(default_factory=list)


@contextmanager
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Check the requests of every SDK client inside the block, and fail at its end.

    At the end, because the code under test may turn an exception of its transport into an answer.
    """
    result = Gate()
    send = stripe.HTTPClient.request_with_retries

    def checked(
        self: stripe.HTTPClient,
        method: str,
        url: str,
        headers: Mapping[str, str],
        post_data: Any = None,
        *args: Any,
        **more: Any,
    ) -> Any:
        result.seen += 1
        result.wrong += wrong_with(method, url, headers, post_data)
        return send(self, method, url, headers, post_data, *args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(stripe.HTTPClient, "request_with_retries", checked)
        yield result
    assert not result.wrong, "Stripe would refuse: " + "; ".join(result.wrong)
