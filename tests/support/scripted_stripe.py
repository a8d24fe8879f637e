"""A transport for the Stripe SDK that answers from a script and remembers what was asked."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import stripe

from portal.billing.registry import EngineSettings
from portal.billing.stripe.engine import StripeBillingEngine

BASE = "http://127.0.0.1:9"
KEY = "sk_test_sandbox_scripted"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as Stripe would have received it."""

    method: str
    path: str
    headers: Mapping[str, str]
    params: Mapping[str, str]

    @property
    def what(self) -> str:
        return f"{self.method} {self.path}"


class ScriptedTransport(stripe.HTTPClient):
    """Answers each method and path with what was put there, the last one again and again."""

    name = "scripted"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self._answers: dict[str, list[Any]] = defaultdict(list)

    def answer(self, what: str, body: Any, status: int = 200, **headers: str) -> None:
        """Put an answer for ``what``, such as ``POST /v1/prices``; an exception is raised."""
        self._answers[what].append((status, body, headers))

    def refuse(self, what: str, status: int, code: str = "", message: str = "No.", **more: str):
        """Put one of Stripe's errors for ``what``."""
        error = {"type": more.pop("kind", "invalid_request_error"), "message": message}
        self.answer(what, {"error": error | ({"code": code} if code else {})}, status, **more)

    def request(self, method, url, headers, post_data=None, *, _usage=None):
        parts = urlsplit(url)
        sent = parse_qs(post_data or parts.query, keep_blank_values=True)
        asked = Asked(
            method=method.upper(),
            path=parts.path,
            headers=dict(headers or {}),
            params={name: values[0] for name, values in sent.items()},
        )
        self.asked.append(asked)
        answers = self._answers.get(asked.what)
        assert answers, f"nothing is scripted for {asked.what}"
        status, body, more = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(body, Exception):
            raise body
        text = body if isinstance(body, str) else json.dumps(body)
        known = {name.replace("_", "-"): value for name, value in more.items()}
        return text, status, {"request-id": "req_1", **known}

    def _sleep_time_seconds(self, num_retries, response=None):
        return 0

    def close(self) -> None:
        """Nothing is open."""


def scripted_engine() -> tuple[StripeBillingEngine, ScriptedTransport]:
    """Return a Stripe engine and the transport that plays Stripe."""
    transport = ScriptedTransport()
    settings = EngineSettings(secret_key=KEY, api_base=BASE)
    return StripeBillingEngine(settings, transport=transport), transport


def page(*data: Any) -> dict[str, Any]:
    """Return one page of a list that has no more pages."""
    return {"object": "list", "data": list(data), "has_more": False, "url": "/v1/list"}
