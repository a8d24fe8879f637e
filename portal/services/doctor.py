"""All the checks of ``flask doctor`` and Admin > Set-up, in the order in which to mend things."""

from portal.services import doctor_accounts, doctor_own, doctor_webhook
from portal.services.examination import Check

_KEY = ("secrets-readable", "key-stored", "key-kind", "provider-answers", "key-works")
_HOOK = (*_KEY, "webhook-registered")

CHECKS: tuple[Check, ...] = (
    Check(name="database-version", title="Database version", look=doctor_own.schema),
    Check(name="database-clock", title="Database clock", look=doctor_own.database_clock),
    Check(name="secrets-readable", title="Encryption keys", look=doctor_own.readable),
    Check(
        name="key-stored",
        title="Platform key",
        look=doctor_own.key_there,
        needs=("secrets-readable",),
    ),
    Check(name="key-kind", title="Kind of key", look=doctor_own.key_kind, needs=_KEY[:2]),
    Check(name="public-address", title="Public address", look=doctor_own.base_url, needs=_KEY[:3]),
    Check(
        name="provider-answers", title="Payment provider", look=doctor_own.reachable, needs=_KEY[:3]
    ),
    Check(name="key-works", title="Key accepted", look=doctor_own.key_works, needs=_KEY[:4]),
    Check(name="clock", title="Clock", look=doctor_own.clock, needs=_KEY),
    Check(
        name="webhook-secret", title="Webhook secret", look=doctor_webhook.secret, needs=_KEY[:1]
    ),
    Check(
        name="webhook-registered",
        title="Webhook address",
        look=doctor_webhook.registered,
        needs=_KEY,
    ),
    Check(name="webhook-enabled", title="Webhook on", look=doctor_webhook.enabled, needs=_HOOK),
    Check(
        name="webhook-scope",
        title="Webhook scope",
        look=doctor_webhook.scope,
        needs=(*_HOOK, "webhook-enabled"),
    ),
    Check(
        name="webhook-events",
        title="Webhook events",
        look=doctor_webhook.event_types,
        needs=(*_HOOK, "webhook-enabled"),
    ),
    Check(
        name="webhook-version", title="Webhook version", look=doctor_webhook.version, needs=_HOOK
    ),
    Check(name="webhook-doubled", title="Webhooks here", look=doctor_webhook.doubled, needs=_HOOK),
    Check(
        name="signatures",
        title="Signatures",
        look=doctor_webhook.signatures,
        needs=("webhook-secret",),
    ),
    Check(name="events-dead", title="Events given up", look=doctor_webhook.dead),
    Check(name="accounts-named", title="Connect IDs", look=doctor_accounts.named, needs=_KEY[:1]),
    Check(
        name="accounts-connected",
        title="Connected accounts",
        look=doctor_accounts.of_accounts(
            lambda each: each.check is None,
            "The platform key has no access to {}.",
            "Connect the account to the platform in Stripe > Connect, or correct its Connect ID "
            "on the Monetization page of the API.",
            "Every connected account answers.",
            lambda evidence: evidence.accounts,
        ),
        needs=_KEY,
    ),
    Check(
        name="accounts-charge",
        title="Card payments",
        look=doctor_accounts.of_accounts(
            lambda each: each.check is not None and not each.check.can_charge,
            "Stripe does not let {} take card payments.",
            "The publisher opens their Stripe dashboard and completes what it asks for.",
            "Every connected account can take card payments.",
            lambda evidence: evidence.answering,
        ),
        needs=_KEY,
    ),
    Check(name="accounts-timezone", title="Time zone", look=doctor_accounts.timezone, needs=_KEY),
    Check(name="key-rights", title="Rights of the key", look=doctor_accounts.rights, needs=_KEY),
    Check(
        name="portal-there",
        title="Customer Portal",
        look=doctor_accounts.of_accounts(
            lambda each: each.portal_missing,
            "The Customer Portal of {} is not configured at Stripe any more.",
            "Press Save on the Monetization page of one of its APIs.",
            "Every Customer Portal is configured.",
            lambda evidence: [each for each in evidence.answering if each.has_portal],
        ),
        needs=_KEY,
    ),
    Check(
        name="portal-features",
        title="Customer Portal features",
        look=doctor_accounts.portal_features,
        needs=(*_KEY, "portal-there"),
    ),
    Check(
        name="portal-return",
        title="Way back from the Customer Portal",
        look=doctor_accounts.portal_return,
        needs=(*_KEY, "portal-there"),
    ),
    Check(name="checkout-return", title="Way back from Checkout", look=doctor_own.checkout_return),
    Check(name="background-work", title="Background work", look=doctor_own.worker),
    Check(name="calls-counted", title="Calls on this machine", look=doctor_own.spools),
)
