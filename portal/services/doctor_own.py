"""Checks of the portal's own side: address, database, secrets, key, clock, background work."""

from datetime import timedelta

from portal.errors import EngineAccessDenied
from portal.services.examination import (
    CONFIGURATION,
    Evidence,
    Verdict,
    apart,
    fault,
    good,
    reminder,
    unasked,
)

#: Stripe refuses signatures older than five minutes; a minute is noticed long before that.
MOST_SKEW = timedelta(seconds=60)


def base_url(evidence: Evidence) -> Verdict:
    """Real money needs TLS."""
    if evidence.is_live and not evidence.base_url.startswith("https://"):
        return fault(
            f"Real money moves, and the portal's public address is {evidence.base_url}.",
            "Put the portal behind TLS and set PORTAL_BASE_URL to its https:// address.",
        )
    return good(f"People and Stripe reach the portal at {evidence.base_url}.")


def schema(evidence: Evidence) -> Verdict:
    """The tables are those that this version was written for."""
    if evidence.schema != evidence.newest_schema:
        return fault(
            f"The database is at version {evidence.schema or 'none'}, the portal needs "
            f"{evidence.newest_schema}.",
            "Run: flask db upgrade",
        )
    return good(f"The database is at version {evidence.schema}.")


def database_clock(evidence: Evidence) -> Verdict:
    """Leases and windows need one time."""
    if evidence.database_now is None:
        return unasked("This database has no clock of its own.")
    skew = apart(evidence.now, evidence.database_now)
    if skew > MOST_SKEW:
        return fault(
            f"The clocks of the portal and of the database are {_seconds(skew)} apart.",
            "Let both machines take their time from NTP.",
        )
    return good("The portal and the database agree about the time.")


def readable(evidence: Evidence) -> Verdict:
    """ENCRYPTION_KEYS still holds every key that something was sealed with."""
    if not evidence.secrets_readable:
        return fault(
            "A stored secret cannot be decrypted with ENCRYPTION_KEYS.",
            "Add the key that sealed it to ENCRYPTION_KEYS, after the newest one, and restart.",
        )
    return good("The stored secrets can be decrypted.")


def key_there(evidence: Evidence) -> Verdict:
    """A platform key is stored."""
    if not evidence.has_key:
        return fault(
            "The secret key of the Stripe platform account is missing.",
            f"Enter it under {CONFIGURATION}.",
        )
    return good("A platform key is stored.")


def key_kind(evidence: Evidence) -> Verdict:
    """The key fits the address that payments go to."""
    if evidence.key_problem:
        return fault(evidence.key_problem, f"Enter another key under {CONFIGURATION}.")
    mode = "live" if evidence.is_live else "test"
    return good(f"The key belongs to {mode} mode, and to the address that payments go to.")


def reachable(evidence: Evidence) -> Verdict:
    """Whoever is asked, answers."""
    error = evidence.key_error
    if error is not None and not isinstance(error, EngineAccessDenied):
        return fault(
            "The payment provider does not answer.",
            "Check the network, HTTPS_PROXY and STRIPE_API_BASE, and try again.",
        )
    return good("The payment provider answers.")


def key_works(evidence: Evidence) -> Verdict:
    """The provider knows the key."""
    if evidence.key is None:
        return fault(
            "The payment provider does not accept the key.",
            f"Copy the secret key again from Stripe > Developers > API keys, and enter it under "
            f"{CONFIGURATION}.",
        )
    return good(f"The key works. It belongs to {evidence.key.account}.")


def clock(evidence: Evidence) -> Verdict:
    """Signatures are checked against the time (Stripe: five minutes)."""
    theirs = evidence.key.answered_at if evidence.key else None
    if theirs is None or evidence.asked_at is None:
        return unasked("The payment provider did not say what time it has.")
    skew = apart(evidence.asked_at, theirs)
    if skew > MOST_SKEW:
        return fault(
            f"The portal's clock is {_seconds(skew)} away from the payment provider's. "
            "At five minutes every event is refused.",
            "Let this machine take its time from NTP.",
        )
    return good("The portal's clock is right.")


def checkout_return(evidence: Evidence) -> Verdict:
    """Payers come back to a page that knows what happened."""
    if not evidence.success_url.startswith(evidence.base_url + "/"):
        return reminder(
            "After paying, people are sent to an address outside this portal.",
            f"If that is not wanted, empty checkoutSuccessUrl under {CONFIGURATION}.",
        )
    return good("After paying, people come back here.")


def worker(evidence: Evidence) -> Verdict:
    """Somebody does what the queue holds."""
    since = evidence.overdue_since
    if since is not None:
        return fault(
            f"Background work has been waiting since {since:%Y-%m-%d %H:%M} UTC.",
            "Start flask worker, or see that QUEUE_URL leads to the same queue everywhere.",
        )
    return good("No background work is overdue.")


def spools(evidence: Evidence) -> Verdict:
    """Every call that was written down on this machine is counted by somebody."""
    if evidence.other_spools:
        named = ", ".join(f"{path} ({files})" for path, files in evidence.other_spools)
        return reminder(
            f"Files with calls that this database has not counted lie in: {named}.",
            "If they were written before DATABASE_URL was changed, move them into "
            f"{evidence.spool}: they are counted within a minute. If they are another database's, "
            "start the portal with that one, or delete them.",
        )
    return good("No calls lie uncounted in another folder of this machine.")


def _seconds(skew: timedelta) -> str:
    return f"{round(skew.total_seconds())} s"
