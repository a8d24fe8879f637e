"""The one clock. Everything that asks what time it is asks here, so that tests can move it."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present moment, aware and in UTC."""
    return datetime.now(UTC)


def epoch(moment: datetime) -> int:
    """Return whole seconds since 1970, the unit in which Stripe states times."""
    return int(moment.timestamp())


def from_epoch(seconds: int) -> datetime:
    """Return the aware UTC moment of ``seconds`` since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
