"""Publisher v4: switching an API's monetization, and what it brings."""

from flask import url_for
from werkzeug.wrappers import Response

from portal.api import bp
from portal.api.answers import Answer
from portal.api.once import done_once
from portal.api.operation import operation
from portal.api.publisher_apis import PATH, mine
from portal.api.schemas.monetization import (
    APIMonetizationInfo,
    APIRevenue,
    MonetizeBody,
    MonetizeResult,
    PlanProblem,
    RevenueFigures,
    RevenueItem,
)
from portal.errors import EngineUnavailable
from portal.extensions import db
from portal.flows import bookkeeping, monetizing
from portal.models import Endings
from portal.services import monetization, money_csv, revenue
from portal.services.monetization import InvalidApiState
from portal.services.revenue import Brought
from portal.services.scopes import API_CREATE, API_PUBLISH, API_VIEW, SUBSCRIPTION_VIEW
from portal.services.takings import FIGURES, Row
from portal.web.access import bearer, scope
from portal.web.engines import absolute, engine_of


@bp.post(f"{PATH}/<uuid:api_id>/monetize")
@scope(API_PUBLISH)
@operation(body=MonetizeBody, answers={200: MonetizeResult}, keyed=True, refuses=(409, 502, 503))
def monetize(api_id: str, body: MonetizeBody) -> Response:
    """Put an API's commercial plans up for sale, or take them off.

    Sending it again changes nothing that is done already, and goes on where it stopped.
    Taken off, what was sold runs on as it was sold, unless the body says otherwise.
    """
    found = mine(api_id)
    engine = engine_of(found.tenant)
    back, actor = absolute(url_for("devportal.home")), bearer().qualified_name
    db.session.rollback()

    def act() -> Answer:
        if body.enabled:
            result = monetizing.enable(engine, api_id, body.properties, return_url=back)
        else:
            how = Endings(body.running_subscriptions)
            result = monetizing.disable(engine, api_id, how, actor=actor)
        if body.enabled and not result.monetized and result.failed:
            raise EngineUnavailable(result.failed[0][1])
        return Answer(
            MonetizeResult(
                enabled=result.enabled,
                properties=mine(api_id).monetization_properties,
                monetized=list(result.monetized),
                archived=list(result.archived),
                problems=[PlanProblem(plan=plan, description=why) for plan, why in result.failed],
            )
        )

    return done_once(act)


@bp.get(f"{PATH}/<uuid:api_id>/monetization")
@scope(API_VIEW, API_CREATE, API_PUBLISH)
@operation(answers={200: APIMonetizationInfo})
def get_monetization(api_id: str) -> APIMonetizationInfo:
    """Read which plans of an API are sold, and at which price at Stripe."""
    found = mine(api_id)
    return APIMonetizationInfo(
        enabled=found.is_monetization_enabled,
        properties={
            state.policy.name: state.offer.stripe_plan_id
            for state in monetization.plan_states(found)
            if state.offer is not None
        },
    )


@bp.get(f"{PATH}/<uuid:api_id>/revenue")
@scope(API_VIEW, API_PUBLISH, SUBSCRIPTION_VIEW)
@operation(answers={200: APIRevenue}, refuses=(400, 409, 502, 503))
def get_revenue(api_id: str) -> APIRevenue:
    """Sum what an API's subscriptions have brought, and what is due.

    The figures are those of the page Revenue: from copies of the payment provider's books, which
    are brought up to date first.
    """
    found = mine(api_id)
    if found.status not in ("PUBLISHED", "DEPRECATED", "RETIRED"):
        raise InvalidApiState("An API that was never published has no revenue.")
    number, tenant_id = found.api_id, found.tenant_id
    db.session.rollback()
    reading = bookkeeping.read(engine_of, tenant_id)
    brought = revenue.of_api(tenant_id, number, api_id)
    return APIRevenue(
        properties={
            f"Revenue for subscription ID : {each.number}": each.words for each in brought.items
        },
        totals=[RevenueFigures(**_figures(row)) for row in brought.totals],
        list=[item for each in brought.items for item in _items(each)],
        as_of=reading.as_of.isoformat() if reading.as_of else None,
        problem=reading.problem,
    )


def _figures(row: Row) -> dict[str, str]:
    amounts = {name: money_csv.major(row.figures.get(name, 0), row.currency) for name in FIGURES}
    return {"currency": row.currency.upper(), **amounts}


def _items(each: Brought) -> list[RevenueItem]:
    upcoming = each.upcoming
    return [
        RevenueItem(
            subscription_id=each.uuid,
            application_name=each.application,
            throttling_policy=each.plan,
            upcoming=money_csv.major(upcoming.minor, upcoming.currency)
            if upcoming is not None and upcoming.currency == row.currency
            else None,
            **_figures(row),
        )
        for row in each.rows
    ]
