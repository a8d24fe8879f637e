"""`flask sandbox check`: what the sandbox had to guess about Stripe, and how to settle it."""

from portal.cli.live_check.command import check

__all__ = ["check"]
