"""Setting up: whose key is this, may this account charge, and where do events go."""

from typing import cast

from stripe.params import WebhookEndpointCreateParams

from portal.billing.engine import EVENT_TYPES, AccountCheck, KeyCheck, WebhookRegistration
from portal.billing.stripe import translate
from portal.billing.stripe.client import STRIPE_VERSION, Connection, known, plain
from portal.billing.stripe.errors import Malformed, portal_errors
from portal.billing.stripe.inspecting import CONNECTED, SCOPE_MARK, answered_at
from portal.errors import EngineAccessDenied, EngineObjectMissing


class SetUp(Connection):
    """Calls of the platform itself, outside any connected account."""

    def test_key(self) -> KeyCheck:
        """Ask Stripe which account the key belongs to.

        An account has no ``livemode`` of its own: the key's prefix tells.
        """
        with portal_errors():
            answer = self.client.v1.accounts.retrieve_current()
            found = translate.account(plain(answer))
        return KeyCheck(
            account=found.account,
            livemode=self.is_live,
            country=found.country,
            answered_at=answered_at(answer),
        )

    def check_account(self, account: str) -> AccountCheck:
        """Ask Stripe whether a connected account can charge cards.

        :raise portal.errors.EngineAccessDenied: if there is none, or it is not connected
        """
        self.within(account)
        try:
            with portal_errors():
                return translate.account(plain(self.client.v1.accounts.retrieve(known(account))))
        except EngineObjectMissing as error:
            raise EngineAccessDenied(
                "Stripe knows no connected account with this Connect ID.",
                engine_code=error.engine_code,
                request_id=error.request_id,
            ) from error

    def register_webhook(self, url: str, *, key: str) -> WebhookRegistration:
        """Register ``url`` for the seven events of connected accounts, in our API version.

        Stripe never changes the version of an endpoint, and shows the secret only in this answer.
        """
        with portal_errors():
            endpoint = self.client.v1.webhook_endpoints.create(
                cast(
                    WebhookEndpointCreateParams,
                    {
                        "url": url,
                        "connect": True,
                        "api_version": STRIPE_VERSION,
                        "enabled_events": list(EVENT_TYPES),
                        "description": "API monetization portal",
                        "metadata": {SCOPE_MARK: CONNECTED},
                    },
                ),
                {"idempotency_key": key},
            )
            if not endpoint.secret:
                raise Malformed("the endpoint has no secret")
            return WebhookRegistration(
                endpoint_id=endpoint.id,
                secret=endpoint.secret,
                api_version=endpoint.api_version or STRIPE_VERSION,
            )
