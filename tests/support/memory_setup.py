"""The part of the engine in memory that is about its key, its accounts and its webhooks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from portal import clock
from portal.billing.engine import (
    EVENT_TYPES,
    AccountCheck,
    BillingEngine,
    KeyCheck,
    PortalState,
    WebhookRegistration,
    WebhookState,
)
from portal.billing.registry import EngineSettings
from portal.errors import EngineAccessDenied, EngineObjectMissing, EngineUnavailable
from tests.support.memory_provider import MemoryProvider
from tests.support.memory_rows import Account

VERSION = "2026-04-22.dahlia"


class MemorySetUp(BillingEngine):
    """Keeps the provider, and notes each call to it."""

    def __init__(
        self, settings: EngineSettings | None = None, *, provider: MemoryProvider | None = None
    ) -> None:
        self.provider = provider or MemoryProvider()
        self._key = settings.secret_key if settings else "sk_test_memory_1234"

    @contextmanager
    def _call(self, what: str, account: str | None = None) -> Iterator[Account]:
        provider = self.provider
        provider.calls.append(what)
        if provider.is_down:
            raise EngineUnavailable("The provider does not answer.", retry_after=1.0)
        if self._key in provider.refused_keys:
            raise EngineAccessDenied("The provider does not accept the key.")
        if account is not None and (
            not account.startswith("acct_") or account in provider.disconnected
        ):
            raise EngineAccessDenied("The key has no access to this account.")
        yield provider.account(account or "platform")
        if provider.lose_answers:
            provider.lose_answers -= 1
            raise EngineUnavailable("The answer was lost.")

    def test_key(self) -> KeyCheck:
        with self._call("test_key"):
            return KeyCheck(
                account="acct_memory_platform",
                livemode=False,
                country="US",
                answered_at=clock.now() + self.provider.skew,
            )

    def check_account(self, account: str) -> AccountCheck:
        with self._call("check_account", account) as held:
            return AccountCheck(
                account=account,
                charges_enabled=held.charges_enabled,
                card_payments=held.card_payments,
                country="US",
                default_currency="usd",
                timezone=held.timezone,
            )

    def register_webhook(self, url: str, *, key: str) -> WebhookRegistration:
        with self._call("register_webhook"):
            secret = self.provider.webhook_secret

            def make() -> str:
                endpoint_id = self.provider.new_id("we")
                self.provider.webhooks[endpoint_id] = WebhookState(
                    endpoint_id=endpoint_id,
                    url=url,
                    is_enabled=True,
                    hears_connected=True,
                    api_version=VERSION,
                    event_types=frozenset(EVENT_TYPES),
                )
                return endpoint_id

            made = self.provider.once("platform", key, url, make)
            return WebhookRegistration(endpoint_id=made, secret=secret, api_version=VERSION)

    def webhooks(self) -> Sequence[WebhookState]:
        with self._call("webhooks"):
            if "Webhook Endpoints" in self.provider.missing_rights:
                raise EngineAccessDenied("The key may not read webhooks.")
            return list(self.provider.webhooks.values())

    def missing_rights(self, account: str) -> Sequence[str]:
        with self._call("missing_rights", account):
            return [right for right in self.provider.missing_rights if right != "Webhook Endpoints"]

    def portal_state(self, account: str, configuration_id: str) -> PortalState:
        with self._call("portal_state", account) as held:
            if configuration_id not in held.portals:
                raise EngineObjectMissing("No such configuration.", engine_code="resource_missing")
            return held.portals[configuration_id]
