"""The next invoice of a subscription, as both portals' REST APIs answer it."""

from portal.api.schemas.monetization import APIMonetizationUsage
from portal.errors import EngineUnavailable, NotFound
from portal.flows import invoicing
from portal.models import Subscription
from portal.web.engines import engine_of


def invoice_of(subscription: Subscription) -> APIMonetizationUsage:
    """Return the next invoice with WSO2's labels.

    :raise portal.errors.NotFound: if the plan is free, or nothing was paid yet
    :raise portal.errors.EngineUnavailable: if the engine does not tell
    """
    statement = invoicing.current(engine_of(subscription.api.tenant), subscription)
    if statement.upcoming is None:
        if statement.problem:
            raise EngineUnavailable(statement.problem)
        raise NotFound(statement.reason or "There is no next invoice.")
    return APIMonetizationUsage(
        properties=statement.upcoming.properties,
        as_of=statement.as_of.isoformat(),
        waiting_calls=statement.waiting,
    )
