"""What a customer may change about itself in the Customer Portal."""

from __future__ import annotations

from portal.sandbox import events
from portal.sandbox.engine.portal import PortalRefused, PortalSession
from portal.sandbox.store import Db, Record

_MODELLED = ("email", "name")


def allowed(ps: PortalSession) -> list[str]:
    """Return the fields that the portal's configuration lets the customer change."""
    settings = ps.features["customer_update"]
    if not settings["enabled"]:
        return []
    return [name for name in _MODELLED if name in settings["allowed_updates"]]


def change(db: Db, ps: PortalSession, values: dict[str, str | None], *, now: int) -> Record:
    """Change the customer's own fields; what stays the same is not reported again.

    :raise PortalRefused: when the configuration doesn't allow one of them
    """
    if not set(values) <= set(allowed(ps)):
        raise PortalRefused("This portal does not offer that. Ask the seller instead.")
    with events.changing(db, ps.customer, "customer.updated", now=now):
        ps.customer.update(values)
    return ps.customer
