"""A tenant's set-up: what its administrator configures, and what is still missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import func, select

from portal import clock
from portal.billing.engine import KeyCheck, WebhookRegistration
from portal.billing.keys import is_live, refuse_mismatched_key
from portal.errors import Invalid
from portal.extensions import db
from portal.models.api import Api
from portal.models.customer import SharedCustomer
from portal.models.inbox import InboxEvent
from portal.models.policy import BillingPlan, Policy
from portal.models.tenant import Need, Tenant
from portal.models.types import new_uuid
from portal.services import attributes, money_rules
from portal.services.attributes import Attribute

#: What the webhook must be registered with: events look different in other versions.
API_VERSION = "2026-04-22.dahlia"
#: Stripe replaces it with the session's id; literally, so never percent-encoded.
SESSION_VARIABLE = "{CHECKOUT_SESSION_ID}"
LONGEST_URL = 2000
LONGEST_SECRET = 255
#: Two secrets are valid while one is being replaced.
MOST_SECRETS = 2


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Advanced configuration as somebody entered it. Empty secrets keep what is stored."""

    platform_key: str = ""
    webhook_secret: str = ""
    forget_older_secret: bool = False
    checkout_success_url: str = ""
    checkout_cancel_url: str = ""
    publishers_edit_plans: bool = False
    subscriptions_need: Need = Need.PAYMENT
    attributes: tuple[Attribute, ...] = ()
    grace_days: str = "0"
    reminder_days: str = ""
    platform_fee_percent: str = "0"


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """The addresses that hold where the administrator enters none, and where keys may be used."""

    success_url: str
    cancel_url: str
    api_base: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the checklist; ``name`` tells the page where it leads."""

    name: str
    title: str
    done: bool
    detail: str


def configure(tenant: Tenant, wanted: Configuration, defaults: Defaults) -> None:
    """Store a tenant's advanced configuration, all of it or nothing.

    :raise portal.errors.Invalid: naming every field that is wrong; never repeating a secret
    """
    fields: dict[str, str] = {}
    key = wanted.platform_key.strip()
    secret = wanted.webhook_secret.strip()
    live = is_live(key or tenant.platform_key or "")
    for field, check in (
        ("platform_key", lambda: _check_key(key, defaults.api_base)),
        ("platform_key", lambda: _check_mode(tenant, key)),
        ("webhook_secret", lambda: _check_secret(secret)),
        ("checkout_success_url", lambda: _check_success(wanted.checkout_success_url, live)),
        ("checkout_cancel_url", lambda: _check_url(wanted.checkout_cancel_url, live)),
        ("attributes", lambda: attributes.stored(wanted.attributes)),
        ("grace_days", lambda: money_rules.grace_days(wanted.grace_days)),
        ("reminder_days", lambda: money_rules.reminder_days(wanted.reminder_days)),
        ("platform_fee_percent", lambda: money_rules.fee_percent(wanted.platform_fee_percent)),
    ):
        try:
            check()
        except Invalid as error:
            fields[field] = error.message
    if fields:
        raise Invalid("Nothing was saved. " + " ".join(fields.values()), fields)
    if key and key != tenant.platform_key:
        tenant.platform_key = key
        tenant.platform_account = tenant.key_tested_at = None
    _keep_secrets(tenant, secret, forget_older=wanted.forget_older_secret)
    tenant.checkout_success_url = _unless(wanted.checkout_success_url, defaults.success_url)
    tenant.checkout_cancel_url = _unless(wanted.checkout_cancel_url, defaults.cancel_url)
    tenant.grace_days = money_rules.grace_days(wanted.grace_days)
    tenant.reminder_days = money_rules.reminder_days(wanted.reminder_days)
    tenant.platform_fee_percent = money_rules.fee_percent(wanted.platform_fee_percent)
    tenant.publishers_edit_plans = wanted.publishers_edit_plans
    tenant.subscriptions_need = wanted.subscriptions_need
    tenant.monetization_attributes = attributes.stored(wanted.attributes)


def _check_mode(tenant: Tenant, key: str) -> None:
    """Refuse to change between test and live while anything was sold: its ids belong to one."""
    if not key or not tenant.platform_key or is_live(key) == tenant.is_live:
        return
    sold = db.session.scalar(
        select(SharedCustomer.id).where(SharedCustomer.tenant_id == tenant.tenant_id).limit(1)
    )
    if sold is not None:
        mode = "live" if tenant.is_live else "test"
        raise Invalid(
            f"This tenant has already sold in {mode} mode. Its customers, prices and subscriptions "
            "exist only there. Use a tenant of its own for the other mode."
        )


def _check_key(key: str, api_base: str) -> None:
    if not key:
        return
    if key.startswith(("pk_", "whsec_", "acct_")):
        raise Invalid("This is not a secret key. Secret keys begin with sk_ or rk_.")
    if len(key) > LONGEST_SECRET:
        raise Invalid("This key is too long. Copy it again and save.")
    refuse_mismatched_key(key, api_base)


def _check_secret(secret: str) -> None:
    if not secret:
        return
    shaped = secret.startswith("whsec_") and secret.isascii() and secret.isprintable()
    if not shaped or " " in secret or not 12 <= len(secret) <= LONGEST_SECRET:
        raise Invalid("A webhook secret begins with whsec_. Copy it from the webhook's page.")


def _check_success(url: str, live: bool) -> None:
    _check_url(url, live)
    if url.strip() and SESSION_VARIABLE not in url:
        raise Invalid(
            f"The address must contain {SESSION_VARIABLE} literally, for example at its end: "
            f"?session_id={SESSION_VARIABLE}. Stripe puts the session's id there."
        )


def _check_url(url: str, live: bool) -> None:
    text = url.strip()
    if not text:
        return
    try:
        parts = urlsplit(text)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
        parts = urlsplit("")
    if not named or len(text) > LONGEST_URL or not text.isprintable() or " " in text:
        raise Invalid("Enter a whole address, beginning with https://.")
    if parts.username is not None or "\\" in text:
        raise Invalid("The address must not contain a user name, a password or a backslash.")
    if live and parts.scheme != "https":
        raise Invalid("With a live key the address must begin with https://.")


def _unless(url: str, default: str) -> str | None:
    """Keep only what differs from the default, so that a new base URL is followed."""
    text = url.strip()
    return text if text and text != default else None


def _keep_secrets(tenant: Tenant, secret: str, *, forget_older: bool) -> None:
    secrets = tenant.webhook_secrets
    if secret and secret not in secrets:
        secrets = [secret, *secrets][:MOST_SECRETS]
        tenant.webhook_endpoint_id = None
    if forget_older:
        secrets = secrets[:1]
    if secrets != tenant.webhook_secrets:
        tenant.webhook_secrets = secrets


def keep_key_check(tenant: Tenant, check: KeyCheck) -> None:
    """Store whose the key is."""
    tenant.platform_account = check.account
    tenant.key_tested_at = clock.now()


def webhook_attempt(tenant: Tenant) -> str:
    """Return the name of the registration that is under way, stored before it is sent."""
    if tenant.webhook_attempt is None:
        tenant.webhook_attempt = new_uuid()
    return tenant.webhook_attempt


def keep_webhook(tenant: Tenant, made: WebhookRegistration) -> None:
    """Store a webhook's secret; the one before stays valid until the older webhook is removed."""
    secrets = [made.secret, *(item for item in tenant.webhook_secrets if item != made.secret)]
    tenant.webhook_secrets = secrets[:MOST_SECRETS]
    tenant.webhook_endpoint_id = made.endpoint_id
    tenant.webhook_attempt = None


def checklist(tenant: Tenant) -> list[Step]:
    """Return what selling needs, in order, and whether it is there: read from what is stored."""
    return [
        _key_step(tenant),
        Step(
            name="webhook",
            title="Webhook",
            done=bool(tenant.webhook_secrets),
            detail=f"Signing secret {tenant.webhook_secret_masked} is stored."
            if tenant.webhook_secrets
            else "Stripe does not tell the portal about payments yet.",
        ),
        _events_step(tenant),
        _count_step(
            "plans",
            "A commercial plan",
            _count(
                Policy,
                Policy.tenant_id == tenant.tenant_id,
                Policy.deleted_at.is_(None),
                Policy.billing_plan == BillingPlan.COMMERCIAL,
            ),
            "commercial plan",
        ),
        _count_step(
            "apis",
            "A monetized API",
            _count(Api, Api.tenant_id == tenant.tenant_id, Api.is_monetization_enabled.is_(True)),
            "monetized API",
        ),
    ]


def _key_step(tenant: Tenant) -> Step:
    if not tenant.platform_key:
        detail = "The secret key of the tenant's Stripe platform account is missing."
    elif tenant.key_tested_at is None:
        detail = f"Key {tenant.platform_key_masked} is stored. It was not tested yet."
    else:
        detail = f"Key {tenant.platform_key_masked} works. It belongs to {tenant.platform_account}."
    done = bool(tenant.platform_key) and tenant.key_tested_at is not None
    return Step(name="key", title="Platform key", done=done, detail=detail)


def _events_step(tenant: Tenant) -> Step:
    newest = db.session.scalar(
        select(func.max(InboxEvent.received_at)).where(InboxEvent.tenant_id == tenant.tenant_id)
    )
    detail = f"The newest arrived on {newest:%Y-%m-%d at %H:%M} UTC." if newest else "None so far."
    if tenant.last_refused_event_at is not None:
        detail += (
            f" {tenant.refused_events} with a wrong signature, the last on "
            f"{tenant.last_refused_event_at:%Y-%m-%d at %H:%M} UTC."
        )
    return Step(name="events", title="Events from Stripe", done=newest is not None, detail=detail)


def _count_step(name: str, title: str, count: int, what: str) -> Step:
    detail = f"{count} {what}{'' if count == 1 else 's'}." if count else "None so far."
    return Step(name=name, title=title, done=count > 0, detail=detail)


def _count(table: type[Policy] | type[Api], *conditions: object) -> int:
    query = select(func.count()).select_from(table).where(*conditions)  # type: ignore[arg-type]
    return db.session.scalar(query) or 0


def masked(tenant: Tenant) -> Sequence[str]:
    """Return the webhook secrets that are valid now, as people may see them, newest first."""
    return [f"…{secret[-4:]}" for secret in tenant.webhook_secrets]
