"""Checks of the webhook: how Stripe tells the portal about payments."""

from urllib.parse import urlsplit

from portal.services.examination import (
    CONFIGURATION,
    Evidence,
    Verdict,
    fault,
    good,
    reminder,
    unasked,
)

_LOCAL = ("localhost", "127.0.0.1", "::1")


def _is_local(evidence: Evidence) -> bool:
    return urlsplit(evidence.base_url).hostname in _LOCAL


def secret(evidence: Evidence) -> Verdict:
    """Without a secret nothing can be believed."""
    if not evidence.secrets:
        return fault(
            "The webhook's signing secret is missing, so every event is refused.",
            f"Press Register webhook on Admin > Set-up, or enter the secret under {CONFIGURATION}.",
        )
    return good("A signing secret is stored.")


def registered(evidence: Evidence) -> Verdict:
    """The provider knows where to send events."""
    if evidence.webhooks is None:
        return unasked("The payment provider does not tell.")
    if evidence.ours:
        return good("Stripe sends events to this tenant's address.")
    if _is_local(evidence) and evidence.is_real_provider:
        return reminder(
            "No webhook leads here, which is right while the Stripe CLI forwards events.",
            "Keep `stripe listen --forward-connect-to …` running.",
        )
    return fault(
        f"No webhook at Stripe leads to {evidence.webhook_url}.",
        "Press Register webhook on Admin > Set-up.",
    )


def enabled(evidence: Evidence) -> Verdict:
    """The provider has not given up on the webhook."""
    if evidence.ours and not any(hook.is_enabled for hook in evidence.ours):
        return fault(
            "Stripe has switched the webhook off.",
            "Switch it on again in Stripe > Workbench > Webhooks. Stripe does so after days of "
            "failed deliveries: look there for why.",
        )
    return good("The webhook is switched on.") if evidence.ours else unasked("No webhook.")


def scope(evidence: Evidence) -> Verdict:
    """Subscriptions live in connected accounts; so must the events."""
    told = [hook.hears_connected for hook in evidence.ours if hook.is_enabled]
    if not told:
        return unasked("No webhook.")
    if True in told or evidence.heard_connected:
        return good("The webhook hears the connected accounts.")
    if None not in told:
        return fault(
            "The webhook hears only the platform's own account, where nothing is sold.",
            "Press Register webhook on Admin > Set-up: its scope is connected accounts. Then "
            "remove the old one in Stripe > Workbench > Webhooks.",
        )
    return reminder(
        "Stripe does not say whose events the webhook hears.",
        "Look at it in Stripe > Workbench > Webhooks: it must say connected accounts.",
    )


def event_types(evidence: Evidence) -> Verdict:
    """The webhook is told about all seven events."""
    hooks = [hook for hook in evidence.ours if hook.is_enabled]
    missing = [hook.misses(evidence.wanted_events) for hook in hooks]
    if not hooks:
        return unasked("No webhook.")
    if all(missing):
        fewest = min(missing, key=lambda names: len(names))
        return fault(
            f"The webhook is not told about {', '.join(sorted(fewest))}.",
            "Add these events to it in Stripe > Workbench > Webhooks.",
        )
    return good("The webhook is told about all the events that the portal acts on.")


def version(evidence: Evidence) -> Verdict:
    """Events have the shape that the portal reads."""
    other = [hook for hook in evidence.ours if hook.api_version != evidence.wanted_version]
    if not evidence.ours:
        return unasked("No webhook.")
    if other:
        return fault(
            f"The webhook sends events in version {other[0].api_version or 'of the account'}, "
            f"the portal reads {evidence.wanted_version}.",
            "A webhook's version never changes. Press Register webhook on Admin > Set-up, then "
            "remove the old one in Stripe > Workbench > Webhooks.",
        )
    return good(f"The webhook sends events in version {evidence.wanted_version}.")


def doubled(evidence: Evidence) -> Verdict:
    """One webhook is enough."""
    if len(evidence.ours) > 1:
        return reminder(
            f"{len(evidence.ours)} webhooks lead here, so every event comes {len(evidence.ours)} "
            "times. Each counts once, but it is work for nothing.",
            "Remove all but the newest in Stripe > Workbench > Webhooks.",
        )
    return good("No event is sent twice.")


def signatures(evidence: Evidence) -> Verdict:
    """The stored secret is the webhook's own."""
    refused, last = evidence.last_refused_at, evidence.last_event_at
    if refused is not None and (last is None or refused > last):
        return fault(
            f"The newest event was refused for its signature, on {refused:%Y-%m-%d at %H:%M} UTC "
            f"({evidence.refused_events} so far).",
            "The stored signing secret is not the webhook's. Copy it from Stripe > Workbench > "
            f"Webhooks, and enter it under {CONFIGURATION}.",
        )
    return good("Signatures are right.") if last else unasked("No event has arrived yet.")


def dead(evidence: Evidence) -> Verdict:
    """No event waits for a person."""
    if evidence.dead_events:
        return fault(
            f"{evidence.dead_events} events were given up after eight tries.",
            "Open Admin > Events, filter by dead, and replay them.",
        )
    return good("No event was given up.")
