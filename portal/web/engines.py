"""The billing engine of a tenant, for edges: built from the tenant's key when it is needed."""

from collections.abc import Callable
from typing import Any

from flask import Flask, current_app

from portal.billing.engine import BillingEngine
from portal.billing.registry import EngineFactory, EngineSettings
from portal.config import Settings
from portal.errors import NotConfigured
from portal.models.tenant import Tenant

EngineFor = Callable[[Tenant], BillingEngine]


class Engines:
    """Builds and keeps one engine per tenant key; a changed key makes a new one at once."""

    def __init__(self, factory: EngineFactory, settings: Settings) -> None:
        self._factory = factory
        self._settings = settings
        self._kept: dict[int, tuple[str, BillingEngine]] = {}

    def for_tenant(self, tenant: Tenant) -> BillingEngine:
        """Return the tenant's engine.

        :raise portal.errors.NotConfigured: if the administrator has not entered a platform key
        """
        key = tenant.platform_key
        if not key:
            raise NotConfigured(
                "Billing is not set up: the platform key is missing. An administrator enters it "
                "under Admin > Advanced configuration."
            )
        kept = self._kept.get(tenant.tenant_id)
        if kept is None or kept[0] != key:
            kept = (key, self.with_key(key))
            self._kept[tenant.tenant_id] = kept
        return kept[1]

    def with_key(self, secret_key: str) -> BillingEngine:
        """Return an engine for a key that is not stored, for testing it before it is."""
        return self._factory(
            EngineSettings(
                secret_key=secret_key,
                api_base=self._settings.stripe_api_base,
                proxy=self._settings.https_proxy,
            )
        )


def init_app(app: Flask, factory: EngineFactory) -> None:
    """Give the app its engines."""
    app.extensions["portal_engines"] = Engines(factory, app.extensions["portal_settings"])


def engines() -> Engines:
    """Return the running app's engines."""
    found: Engines = current_app.extensions["portal_engines"]
    return found


def engine_of(tenant: Tenant) -> BillingEngine:
    """Return the billing engine of a tenant."""
    return engines().for_tenant(tenant)


def settings() -> Settings:
    """Return the running app's settings."""
    found: Settings = current_app.extensions["portal_settings"]
    return found


def absolute(path: str) -> str:
    """Return the public address of a path: from the settings, never from the Host header."""
    return settings().portal_base_url + path


def memory() -> dict[str, Any]:
    """Return what this process remembers while it runs, by name."""
    found: dict[str, Any] = current_app.extensions.setdefault("portal_memory", {})
    return found
