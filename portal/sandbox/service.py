"""One running sandbox: its settings, store, clock and background work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from portal.sandbox.clock import Clock
from portal.sandbox.limits import Limits
from portal.sandbox.requestlog import RequestLog
from portal.sandbox.settings import SandboxSettings
from portal.sandbox.store import Store
from portal.sandbox.webhooks import Courier


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What requests and pages work with: `app.extensions["sandbox"]`."""

    settings: SandboxSettings
    store: Store
    clock: Clock
    courier: Courier
    log: RequestLog
    limits: Limits


def current() -> Sandbox:
    """Return the sandbox that serves the present request."""
    return cast("Sandbox", current_app.extensions["sandbox"])
