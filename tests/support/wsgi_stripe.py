"""The real Stripe SDK, talking to a WSGI app in process instead of a socket."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import stripe
from requests.structures import CaseInsensitiveDict
from stripe import HTTPClient
from werkzeug.test import Client
from werkzeug.wrappers import Response


class WsgiHttpClient(HTTPClient):
    """Hands the SDK's requests to `app` and keeps the last answer's headers for the test."""

    name = "wsgi"

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._client = Client(app, Response)
        self.last_headers: Mapping[str, str] = {}

    def request(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[str, int, Mapping[str, str]]:
        """Make one request; nothing is retried here."""
        parts = urlsplit(url)
        try:
            answer = self._client.open(
                parts.path,
                method=method.upper(),
                query_string=parts.query,
                headers=dict(headers),
                data=post_data,
                base_url=f"{parts.scheme}://{parts.netloc}",
            )
        except ConnectionResetError as lost:
            raise stripe.APIConnectionError(str(lost), should_retry=True) from lost
        self.last_headers = CaseInsensitiveDict(answer.headers.items())
        return answer.get_data(as_text=True), answer.status_code, self.last_headers

    def close(self) -> None:
        """Nothing to close."""


def stripe_client(
    app: Any, key: str, *, account: str | None = None, base: str = "http://sandbox.test"
) -> stripe.StripeClient:
    """Return the SDK's client for `app`, acting for `account` unless told otherwise per call."""
    return stripe.StripeClient(
        key,
        stripe_account=account,
        base_addresses={"api": base, "meter_events": base},
        http_client=WsgiHttpClient(app),
        max_network_retries=0,
    )
