"""The sandbox's controls, as the demo and the tour use them: what Stripe's dashboard would do."""

from typing import Any, cast

import requests

from portal.cli.demo.keeping import Platform

SECONDS = 20


class SandboxRefused(Exception):
    """The sandbox did not do what it was asked; the message has its reason."""


class SandboxControl:
    """A client of ``/_sandbox/`` and of the API under it, without the Stripe SDK."""

    def __init__(self, origin: str, admin_token: str) -> None:
        self.origin = origin
        self._token = admin_token
        self._session = requests.Session()
        # A proxy of the environment could not reach this machine's own servers.
        self._session.trust_env = False
        # A kept connection may just be closing at the server's end when the next act is sent.
        self._session.headers["Connection"] = "close"

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Press one of the controls, for example ``/subscriptions/sub_…/end-period``."""
        return self._ask("POST", f"/_sandbox{path}", self._token, json=body or {})

    def get(self, path: str, **query: str) -> list[dict[str, Any]]:
        """List what the sandbox holds, newest first: ``/objects``, ``/events``, ``/deliveries``."""
        found = self._ask("GET", f"/_sandbox{path}", self._token, params=query)
        return cast("list[dict[str, Any]]", found["data"])

    def api(self, path: str, key: str, account: str, **query: str) -> dict[str, Any]:
        """Read from the API as a platform acting for a connected account."""
        return self._ask("GET", path, key, params=query, headers={"Stripe-Account": account})

    def move_webhook(self, platform: Platform, endpoint: str, url: str) -> None:
        """Send a webhook's events to another address from now on; its secret stays."""
        path = f"/v1/webhook_endpoints/{endpoint}"
        self._ask("POST", path, platform.secret_key, data={"url": url})

    def create_platform(self, name: str) -> Platform:
        """Create a platform account with its secret key."""
        made = self.post("/platforms", {"name": name})
        return Platform(secret_key=made["secret_key"], account=made["account"])

    def create_account(self, platform: Platform, name: str, country: str, currency: str) -> str:
        """Create an account connected to a platform that can take cards; return its id."""
        made = self.post(
            "/accounts",
            {
                "platform": platform.account,
                "name": name,
                "country": country,
                "default_currency": currency,
                "charges_enabled": True,
            },
        )
        return str(made["id"])

    def _ask(self, method: str, path: str, token: str, **more: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        answer = self._session.request(
            method, self.origin + path, headers=headers, timeout=SECONDS, **more
        )
        try:
            body = cast("dict[str, Any]", answer.json())
        except ValueError:
            body = {}
        if not answer.ok:
            reason = body.get("error", {}).get("message") or answer.text[:200]
            raise SandboxRefused(f"{method} {path} answered {answer.status_code}: {reason}")
        return body
