"""Which billing engine is installed, and an instance of it for each tenant."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

from portal.billing.engine import BillingEngine

GROUP = "portal.billing_engines"


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What an engine is built from.

    ``api_base`` is the provider's address from the operator's settings, ``secret_key`` the
    tenant's own key, ``proxy`` an outbound proxy.
    """

    secret_key: str
    api_base: str
    proxy: str | None = None

    def __repr__(self) -> str:
        return f"EngineSettings(api_base={self.api_base!r})"


EngineFactory = Callable[[EngineSettings], BillingEngine]


class UnknownEngine(Exception):
    """``BILLING_ENGINE`` names no installed engine."""


def load(name: str) -> EngineFactory:
    """Return the engine class that an installed package registered under ``name``.

    :raise UnknownEngine: if there is none; the message lists those that are installed
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        installed = ", ".join(sorted(found)) or "none"
        raise UnknownEngine(f"BILLING_ENGINE={name} is not installed. Installed: {installed}.")
    factory: EngineFactory = found[name].load()
    return factory
