"""The portal's own ledger, which the gateway, the intake and files write call by call."""

from collections.abc import Iterator
from typing import ClassVar

from portal.analytics.source import AnalyticsSource, Found, Scope


class PortalSource(AnalyticsSource):
    """The calls are in the ledger already, so there is nothing to bring into it."""

    name: ClassVar[str] = "portal"

    def check(self, scope: Scope) -> str:
        """Say so: the ledger is in the portal's own database."""
        return "The portal counts by itself; there is nothing to connect."

    def read(self, scope: Scope) -> Iterator[Found]:
        """Return nothing."""
        return iter(())

    def later(self, scope: Scope, found: Found, moment: int) -> Found | None:
        """Return nothing."""
        return None
