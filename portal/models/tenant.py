"""Tenants, and what a tenant's administrator configures."""

import json
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Boolean, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from portal import clock
from portal.extensions import Model
from portal.models.types import DecimalText, UtcDateTime, text_id
from portal.vault import mask, vault

SUPER_TENANT = "carbon.super"

#: What WSO2's deployment.toml calls additional_attributes of monetization.
DEFAULT_ATTRIBUTES: list[dict[str, Any]] = [
    {
        "name": "ConnectedAccountKey",
        "display_name": "Connected account",
        "required": True,
        "description": "The Connect ID of the publisher's Stripe account, for example acct_1Abc.",
    }
]


class Need(StrEnum):
    """What a new subscription needs before calls go through: WSO2's workflow executor."""

    PAYMENT = "PAYMENT"
    """Commercial plans wait for their first payment; free plans wait for nothing."""
    APPROVAL = "APPROVAL"
    """An administrator lets each one in. Nothing is charged through the billing engine."""
    BOTH = "BOTH"
    """An administrator lets each one in, and commercial plans are paid, in any order."""

    @property
    def asks_payment(self) -> bool:
        """Whether commercial plans are paid through the billing engine."""
        return self is not Need.APPROVAL

    @property
    def asks_approval(self) -> bool:
        """Whether an administrator decides about each subscription."""
        return self is not Need.PAYMENT


class Tenant(Model):
    """A company on this portal: its own people, APIs, plans and Stripe platform account."""

    __tablename__ = "am_tenant"

    tenant_id: Mapped[int] = mapped_column(primary_key=True)
    tenant_domain: Mapped[str] = mapped_column(text_id(255), unique=True)
    platform_key_sealed: Mapped[str | None] = mapped_column(Text)
    webhook_secrets_sealed: Mapped[str | None] = mapped_column(Text)
    """JSON list of secrets, newest first; two are valid while one is being rotated."""
    webhook_endpoint_id: Mapped[str | None] = mapped_column(text_id())
    webhook_attempt: Mapped[str | None] = mapped_column(text_id(36))
    """Names a registration that has not been answered yet: repeating it is the same call."""
    platform_account: Mapped[str | None] = mapped_column(text_id())
    """Whose the key is, as the provider said when it was tested last (Stripe: ``acct_…``)."""
    key_tested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    checkout_success_url: Mapped[str | None] = mapped_column(Text)
    """Own address after payment; ``None`` means the portal's own page."""
    checkout_cancel_url: Mapped[str | None] = mapped_column(Text)
    monetization_attributes: Mapped[list[dict[str, Any]]] = mapped_column(
        JSON, default=lambda: [dict(item) for item in DEFAULT_ATTRIBUTES]
    )
    publishers_edit_plans: Mapped[bool] = mapped_column(Boolean, default=False)
    subscriptions_need: Mapped[str] = mapped_column(String(20), default=Need.PAYMENT)
    grace_days: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Days for which calls go on after a failed payment; 0: they stop at once."""
    reminder_days: Mapped[str] = mapped_column(String(60), default="3,1", server_default="3,1")
    """How many days before the end of the grace subscribers are reminded, comma separated."""
    platform_fee_percent: Mapped[Decimal] = mapped_column(
        DecimalText, default=Decimal(0), server_default="0"
    )
    """Which part of each payment goes to the platform, of subscriptions that are sold from now."""
    refused_events: Mapped[int] = mapped_column(Integer, default=0)
    """Webhook calls with a bad signature; nothing else of them is kept."""
    last_refused_event_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)

    @property
    def reminders(self) -> tuple[int, ...]:
        """The days of ``reminder_days``, the earliest reminder first."""
        return days_of(self.reminder_days)

    def _place(self, column: str) -> str:
        return f"{self.tenant_domain}:{column}"

    @property
    def platform_key(self) -> str | None:
        """The secret key of the tenant's platform account (BillingEnginePlatformAccountKey)."""
        if self.platform_key_sealed is None:
            return None
        return vault.open(self._place("platform_key"), self.platform_key_sealed)

    @platform_key.setter
    def platform_key(self, value: str | None) -> None:
        self.platform_key_sealed = vault.seal(self._place("platform_key"), value) if value else None

    @property
    def webhook_secrets(self) -> list[str]:
        """The signing secrets that are valid now (StripeWebhookSecret), newest first."""
        if self.webhook_secrets_sealed is None:
            return []
        opened = vault.open(self._place("webhook_secrets"), self.webhook_secrets_sealed)
        return [str(secret) for secret in json.loads(opened)]

    @webhook_secrets.setter
    def webhook_secrets(self, values: list[str]) -> None:
        kept = [value for value in values if value]
        self.webhook_secrets_sealed = (
            vault.seal(self._place("webhook_secrets"), json.dumps(kept)) if kept else None
        )

    @property
    def platform_key_masked(self) -> str | None:
        """The key as people may see it."""
        return mask(self.platform_key) if self.platform_key else None

    @property
    def webhook_secret_masked(self) -> str | None:
        """The newest signing secret as people may see it."""
        secrets = self.webhook_secrets
        return mask(secrets[0]) if secrets else None

    @property
    def is_live(self) -> bool:
        """Whether real money moves: decided by the key, as Stripe does."""
        return (self.platform_key or "").startswith(("sk_live_", "rk_live_"))


def days_of(reminder_days: str) -> tuple[int, ...]:
    """Return the days of a list like ``3,1``, the earliest reminder first."""
    days = {int(part) for part in reminder_days.split(",") if part.strip()}
    return tuple(sorted(days, reverse=True))
