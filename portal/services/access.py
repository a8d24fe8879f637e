"""Can I call? Why not, since when, until when, and what fixes it: one value for every reader.

The answer is :func:`portal.services.decisions.decide`, the gateway's own decision, with the
moments from the timeline and the plan's limits. The subscription's pages, the JSON and the links
in the gateway's refusals are made from it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from portal import clock
from portal.extensions import db
from portal.models import (
    CheckoutAttempt,
    KeyType,
    Subscription,
    TimelineEntry,
    Workflow,
)
from portal.services import quotas
from portal.services.decisions import Refusal, Standing, causes, decide, holds
from portal.services.quotas import State, limits_of
from portal.services.subscribing import CREATION

_FOR_DEBT = (Refusal.PAYMENT_OVERDUE, Refusal.AUTHENTICATION_NEEDED)
#: Until when somebody may pay, counted from when the subscription began to wait.
TIME_TO_PAY = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Whether a subscription's calls go through with keys of one kind, and everything about it."""

    key_type: KeyType
    refusal: Refusal | None
    """The cause that a call would be told; ``None`` where it goes through."""
    also: tuple[Refusal, ...] = ()
    """Causes that would remain if this one were mended."""
    since: datetime | None = None
    """Since when this answer holds; ``None`` where nothing tells."""
    until: datetime | None = None
    """When this answer ends by itself; ``None`` where it does not."""
    link: str
    """Path of the page where the cause can be seen and mended."""
    quota: tuple[State, ...] = ()
    """The plan's limits in the windows that run now, the shortest first."""

    @property
    def allowed(self) -> bool:
        """Whether a call goes through now."""
        return self.refusal is None

    @property
    def slug(self) -> str:
        """The last part of the problem's address; ``allowed`` where there is no problem."""
        return self.refusal.slug if self.refusal else "allowed"

    @property
    def title(self) -> str:
        """The answer in a few words."""
        return self.refusal.title if self.refusal else "Calls go through"

    @property
    def remedy(self) -> str:
        """What to do about it; empty where there is nothing to do."""
        return self.refusal.remedy if self.refusal else ""

    @property
    def http_status(self) -> int:
        """What the gateway answers; 200 stands for whatever the back end says."""
        return self.refusal.http_status if self.refusal else 200

    @property
    def code(self) -> int:
        """WSO2's number of the cause; 0 where there is none."""
        return self.refusal.code if self.refusal else 0


def explain(subscription: Subscription, key_type: KeyType = KeyType.PRODUCTION) -> Access:
    """Answer for one subscription, with at most four queries and without counting a call."""
    standing = standing_of(subscription)
    now = clock.now()
    states = _quota(subscription, now)
    refusal = decide(standing, key_type)
    spent = next((state for state in states if state.refused), None)
    if refusal is None and spent is not None:
        return Access(
            key_type=key_type,
            refusal=spent.limit.refusal,
            since=None,
            until=clock.from_epoch(spent.limit.end),
            link=page_of(subscription.uuid),
            quota=states,
        )
    return Access(
        key_type=key_type,
        refusal=refusal,
        also=causes(standing, key_type)[1:],
        since=_since(subscription, standing, refusal, key_type),
        until=_until(subscription, refusal),
        link=page_of(subscription.uuid),
        quota=states,
    )


def without_subscription(api_uuid: str, key_type: KeyType = KeyType.PRODUCTION) -> Access:
    """Answer for an application that is not subscribed to an API."""
    return Access(
        key_type=key_type, refusal=Refusal.NO_SUBSCRIPTION, link=page_of(api_uuid=api_uuid)
    )


def page_of(subscription_uuid: str | None = None, *, api_uuid: str | None = None) -> str:
    """Return the path of the page that explains: the subscription's, else the API's."""
    if subscription_uuid is not None:
        return f"/devportal/subscriptions/{subscription_uuid}"
    return f"/devportal/apis/{api_uuid}"


def standing_of(subscription: Subscription) -> Standing:
    """Return what the decision needs to know about a subscription that has been read."""
    return Standing(
        facts=subscription.facts_in_force,
        api_status=subscription.api.status,
        needs_authentication=subscription.needs_authentication,
    )


def _since(
    subscription: Subscription, now: Standing, refusal: Refusal | None, key_type: KeyType
) -> datetime | None:
    """Return when the present answer began: the oldest of the newest lines that agree with it."""
    if refusal is Refusal.API_RETIRED:
        return None
    if now.facts != subscription.facts and refusal in _FOR_DEBT:
        # The grace has run out, and the worker has not written it down yet.
        return subscription.stops_at
    since = None
    for line in db.session.scalars(
        select(TimelineEntry)
        .where(TimelineEntry.subscription_uuid == subscription.uuid)
        .order_by(TimelineEntry.line.desc())
    ):
        then = Standing(
            facts=line.facts,
            api_status=now.api_status,
            needs_authentication=now.needs_authentication,
        )
        same = holds(refusal, then, key_type) if refusal else decide(then, key_type) is None
        if not same:
            break
        since = line.at
    return since


def _until(subscription: Subscription, refusal: Refusal | None) -> datetime | None:
    if refusal is None:
        ends = (subscription.cancel_at, subscription.access_until)
        return min((moment for moment in ends if moment is not None), default=None)
    return payable_until(subscription) if refusal is Refusal.PAYMENT_PENDING else None


def payable_until(subscription: Subscription) -> datetime:
    """Return when a subscription that waits for its first payment is cancelled, if not paid."""
    expires = db.session.scalar(
        select(CheckoutAttempt.expires_at).where(CheckoutAttempt.open_key == subscription.uuid)
    )
    if expires is not None:
        return expires
    began = db.session.scalar(
        select(func.max(Workflow.wf_created_time)).where(
            Workflow.wf_reference == str(subscription.subscription_id),
            Workflow.wf_type == CREATION,
        )
    )
    return (began or subscription.created_at) + TIME_TO_PAY


def cap_of(subscription: Subscription) -> State | None:
    """Return how much of the plan's quota is used; ``None`` where going over is let through."""
    quota = _quota(subscription, clock.now())[-1]
    return quota if quota.limit.stops else None


def _quota(subscription: Subscription, now: datetime) -> tuple[State, ...]:
    limits = quotas.limits_at(limits_of(subscription.policy_version.policy), now)
    return quotas.look(db.session.connection(), subscription.subscription_id, limits)
