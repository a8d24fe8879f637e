"""A tenant's advanced configuration, as WSO2's tenant-config."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_pascal

from portal.api.schemas.base import Resource, Schema, Text
from portal.models import Need, Tenant
from portal.services import attributes
from portal.services.attributes import Attribute
from portal.services.setup import Configuration, Defaults

Secret = Annotated[str, StringConstraints(max_length=255, pattern="^[ -~…]*$")]
Url = Annotated[Text, StringConstraints(max_length=2000)]


class PlatformSecrets(Schema):
    """The secrets of the tenant's platform account."""

    model_config = ConfigDict(alias_generator=to_pascal)

    billing_engine_platform_account_key: Secret = Field(
        "", description="Write-only: read, it is masked. Empty or masked, it stays as it is."
    )
    stripe_webhook_secret: Secret = Field("", description="Likewise.")


class MonetizationAttribute(Schema):
    """One value that every monetized API needs."""

    model_config = ConfigDict(alias_generator=None)

    name: Annotated[str, StringConstraints(pattern="^[A-Za-z][A-Za-z0-9_.-]{0,79}$")]
    display_name: Annotated[Text, StringConstraints(max_length=120)] = ""
    required: bool = False
    description: Annotated[Text, StringConstraints(max_length=300)] = ""


class TenantConfig(Resource):
    """The tenant's advanced configuration."""

    monetization_info: PlatformSecrets = Field(alias="MonetizationInfo")
    monetization_attributes: list[MonetizationAttribute] = Field(
        alias="MonetizationAttributes", max_length=20
    )
    checkout_success_url: Url = ""
    checkout_cancel_url: Url = ""
    publishers_edit_plans: bool = False
    subscriptions_need: Need = Need.PAYMENT

    def configuration(self) -> Configuration:
        """Return it as the set-up's rules read it; what is masked is left alone."""
        info = self.monetization_info
        return Configuration(
            platform_key=_unmasked(info.billing_engine_platform_account_key),
            webhook_secret=_unmasked(info.stripe_webhook_secret),
            checkout_success_url=self.checkout_success_url,
            checkout_cancel_url=self.checkout_cancel_url,
            publishers_edit_plans=self.publishers_edit_plans,
            subscriptions_need=self.subscriptions_need,
            attributes=tuple(
                Attribute(
                    name=item.name,
                    display_name=item.display_name,
                    required=item.required,
                    description=item.description,
                )
                for item in self.monetization_attributes
            ),
        )


#: The set-up's names of fields, in the body's words.
FIELDS = {
    "platform_key": "MonetizationInfo.BillingEnginePlatformAccountKey",
    "webhook_secret": "MonetizationInfo.StripeWebhookSecret",
    "checkout_success_url": "checkoutSuccessUrl",
    "checkout_cancel_url": "checkoutCancelUrl",
    "attributes": "MonetizationAttributes",
}


def _unmasked(secret: str) -> str:
    return "" if secret.startswith("…") else secret


def to_json(tenant: Tenant, defaults: Defaults) -> TenantConfig:
    """Return a tenant's configuration with its secrets masked."""
    return TenantConfig(
        monetization_info=PlatformSecrets(
            billing_engine_platform_account_key=tenant.platform_key_masked or "",
            stripe_webhook_secret=tenant.webhook_secret_masked or "",
        ),
        monetization_attributes=[
            MonetizationAttribute(
                name=item.name,
                display_name=item.display_name,
                required=item.required,
                description=item.description,
            )
            for item in attributes.of_tenant(tenant)
        ],
        checkout_success_url=tenant.checkout_success_url or defaults.success_url,
        checkout_cancel_url=tenant.checkout_cancel_url or defaults.cancel_url,
        publishers_edit_plans=tenant.publishers_edit_plans,
        subscriptions_need=Need(tenant.subscriptions_need),
    )
