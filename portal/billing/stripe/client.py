"""The connection to Stripe: one client per tenant, and the rules that hold for every call."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import requests
import stripe
from requests.adapters import HTTPAdapter

from portal.billing import keys
from portal.billing.registry import EngineSettings
from portal.billing.stripe.errors import FrozenFailure, Malformed, header
from portal.crashpoints import crashpoint
from portal.errors import (
    BillingEngineError,
    EngineAccessDenied,
    EngineObjectMissing,
    EngineUnavailable,
)

#: The version that webhook endpoints are registered with and that ``stripe==15.1.0`` describes.
STRIPE_VERSION = "2026-04-22.dahlia"
TIMEOUT_SECONDS = 10.0
NETWORK_RETRIES = 2
#: Connections kept open to Stripe by one tenant's client, for all threads together.
POOL_SIZE = 20
#: Calls at once when usage is published: 100 a second at 100 ms each, and some to catch up.
PARALLEL = 16
#: How often a create is tried under a new key after Stripe froze a 500 under the first.
FRESH_KEYS = 3

_ACCOUNT = re.compile(r"acct_[A-Za-z0-9_]{1,200}")
_HEADERS_KEPT_BACK = frozenset({"x-stripe-client-telemetry", "x-stripe-client-user-agent"})

T = TypeVar("T")


class PooledTransport(stripe.RequestsClient):
    """The SDK's transport with one pooled session, and without telemetry.

    The SDK switches telemetry off for the whole process only, so the headers are dropped here.
    The session does not read the environment: a ``.netrc`` would replace the tenant's key.
    """

    def __init__(self, proxy: str | None) -> None:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", HTTPAdapter(pool_maxsize=POOL_SIZE))
        session.mount("http://", HTTPAdapter(pool_maxsize=POOL_SIZE))
        # HTTPS_PROXY concerns https addresses only; a sandbox on this machine is http.
        proxies: Any = {"http": None, "https": proxy} if proxy else None
        super().__init__(timeout=TIMEOUT_SECONDS, session=session, proxy=proxies)

    # The SDK's base class and its own transport disagree about the type of the answer's body.
    def request(  # type: ignore[override]
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send one request without the headers that describe this machine to Stripe."""
        kept = {
            name: value
            for name, value in (headers or {}).items()
            if name.lower() not in _HEADERS_KEPT_BACK
        }
        crashpoint("before Stripe")
        answer = super().request(method, url, kept, post_data)
        crashpoint("after Stripe")
        return answer


class Connection:
    """One tenant's client. The parts of the engine derive from it.

    :param transport: replaces the network, for example by a WSGI application in tests
    :raise portal.errors.Invalid: if the key does not belong to the address
    """

    def __init__(
        self, settings: EngineSettings, *, transport: stripe.HTTPClient | None = None
    ) -> None:
        keys.refuse_mismatched_key(settings.secret_key, settings.api_base)
        base = settings.api_base.strip().rstrip("/")
        key = settings.secret_key.strip()
        self.is_live = keys.is_live(key)
        self.parallel = PARALLEL
        # Stripe's limit of writes; what concerns a connected account counts against it too.
        self.calls_per_second = 100.0 if self.is_live else 25.0
        self.is_restricted = keys.is_restricted(key)
        self.client = stripe.StripeClient(
            key,
            stripe_version=STRIPE_VERSION,
            base_addresses={"api": base, "meter_events": base},
            max_network_retries=NETWORK_RETRIES,
            http_client=transport or PooledTransport(settings.proxy),
        )

    def within(self, account: str, key: str | None = None) -> stripe.RequestOptions:
        """Return the options of a call inside a connected account.

        Without an account Stripe would act on the platform's own, so none is refused here.

        :raise portal.errors.EngineAccessDenied: if ``account`` is no account id
        """
        if not _ACCOUNT.fullmatch(account):
            raise EngineAccessDenied(
                "The Connect ID of the publisher is missing or wrong. It begins with acct_.",
                engine_code="account_invalid",
            )
        options: stripe.RequestOptions = {"stripe_account": account}
        if key is not None:
            options["idempotency_key"] = key
        return options


def known(object_id: str) -> str:
    """Return the id of something that exists at Stripe.

    An empty id in a path would ask Stripe for the list instead.

    :raise portal.errors.EngineObjectMissing: if it is empty
    """
    if not object_id.strip():
        raise EngineObjectMissing(
            "Nothing is stored at Stripe under this name yet.", engine_code="resource_missing"
        )
    return object_id


def plain(answer: stripe.StripeObject) -> dict[str, Any]:
    """Return an answer as plain dictionaries, as an event body has it.

    :raise Malformed: if the answer is no object
    """
    if not isinstance(answer, stripe.StripeObject):
        raise Malformed("the answer is no object")
    return answer.to_dict()


def is_replay(answer: stripe.StripeObject) -> bool:
    """Return whether Stripe repeated a stored answer, which may be older than the object."""
    response = answer.last_response
    return response is not None and header(response.headers, "idempotent-replayed") == "true"


def create_once(
    create: Callable[[str], T],
    find: Callable[[], T | None],
    key: str,
    *,
    find_refused: bool = False,
) -> T:
    """Create under ``key``; if Stripe froze a 500 under it, look for the object, or use a new key.

    :param find_refused: whether a refusal, too, may mean that the object is there already
    :raise portal.errors.EngineUnavailable: if the outcome stays unknown
    """
    for attempt in range(FRESH_KEYS):
        try:
            return create(key if attempt == 0 else f"{key}:again{attempt}")
        except BillingEngineError as error:
            is_frozen = isinstance(error, FrozenFailure)
            if not is_frozen and not (find_refused and _is_refusal(error)):
                raise
            found = find()
            if found is not None:
                return found
            if not is_frozen or attempt == FRESH_KEYS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _is_refusal(error: BillingEngineError) -> bool:
    """Return whether Stripe read the request and said no, rather than not answering."""
    return not isinstance(error, (EngineAccessDenied, EngineUnavailable))
