"""What a provider says about its own set-up, for whoever looks for what is wrong with it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WebhookState:
    """A webhook endpoint as the provider holds it now."""

    endpoint_id: str
    url: str
    is_enabled: bool
    hears_connected: bool | None
    """Whether it is told what happens in connected accounts, rather than in the platform's own;
    ``None`` if the provider does not say."""
    api_version: str | None
    """``None``: the account's default version, which nobody has pinned."""
    event_types: frozenset[str]

    def misses(self, wanted: frozenset[str]) -> frozenset[str]:
        """Return the events that it is not told about; ``*`` stands for all."""
        return frozenset() if "*" in self.event_types else wanted - self.event_types


@dataclass(frozen=True, kw_only=True)
class PortalState:
    """What a connected account's customer portal lets subscribers do now."""

    is_active: bool
    return_url: str | None
    cancels: bool
    updates_card: bool
    lists_invoices: bool
