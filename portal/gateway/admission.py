"""May this call go through: key, subscription, limits. The same for every way of asking."""

from dataclasses import dataclass

from portal import clock
from portal.gateway.known import Asked
from portal.gateway.lookup import Subscriber, Target
from portal.gateway.process import Gate
from portal.gateway.refused import Refused
from portal.models import KeyType
from portal.services import quotas
from portal.services.applications import hash_of
from portal.services.decisions import Refusal, decide
from portal.services.quotas import State

#: Words that stand for something else where an API's context would stand.
RESERVED = ("authorize", "t")


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A call that may go through."""

    key_type: KeyType
    target: Target
    subscriber: Subscriber
    states: tuple[State, ...]
    headers: dict[str, str]


def admit(
    gate: Gate, key: str, domain: str, context: str, version: str, *, counts: bool = True
) -> Admitted:
    """Decide a call, and count it against the plan's limits.

    :param counts: false where the gateway's log says later how many calls there were: then the
        limits are only looked at
    :raise Refused: with the cause, if it may not go through
    :raise sqlalchemy.exc.SQLAlchemyError: if the database is needed and does not answer
    """
    now = clock.now()
    found = gate.known.find(Asked(hash_of(key), domain, context, version), now)
    if found is None:
        raise Refused(Refusal.UNKNOWN_KEY)
    if found.target is None or context in RESERVED:
        raise Refused(Refusal.NO_API)
    subscriber = found.subscriber
    refusal = decide(subscriber.standing.at(now) if subscriber else None, found.key_type)
    if refusal is not None or subscriber is None:
        cause = refusal or Refusal.NO_SUBSCRIPTION
        raise Refused(cause, link=_page(found.target, subscriber))
    number, plan = subscriber.subscription_id, subscriber.limits
    if counts:
        states = gate.leases.admit(number, quotas.limits_at(plan, now))
    else:
        states = gate.looks.look(number, plan, now)
    headers = quotas.headers(states, now)
    spent = next((state for state in states if state.refused), None)
    if spent is not None:
        link = _page(found.target, subscriber)
        raise Refused(spent.limit.refusal, link=link, headers=headers)
    return Admitted(
        key_type=found.key_type,
        target=found.target,
        subscriber=subscriber,
        states=states,
        headers=headers,
    )


def _page(target: Target, subscriber: Subscriber | None) -> str:
    # Written out, because a decision is also made where Flask has no request to build one from.
    if subscriber is None:
        return f"/devportal/apis/{target.api_uuid}"
    return f"/devportal/subscriptions/{subscriber.uuid}"
