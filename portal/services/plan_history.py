"""What a subscription was sold as in periods of the past."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal import clock
from portal.extensions import db
from portal.models import PlanChange, PlanChangeState, PolicyVersion, Subscription


@dataclass(frozen=True, kw_only=True)
class Sold:
    """What a subscription was sold as in a period of the past."""

    version: PolicyVersion
    period_start: datetime | None
    """Of the period that a change of plan cut short; ``None`` for the present plan."""
    period_end: datetime | None


def sold_at(subscription: Subscription, moment: datetime) -> Sold:
    """Return the version of the plan that calls of a moment were sold at.

    One query, and none for a subscription whose plan never changed since.
    """
    present = Sold(version=subscription.policy_version, period_start=None, period_end=None)
    if clock.epoch(moment) >= subscription.plan_since:
        return present
    change = db.session.scalars(
        select(PlanChange)
        .where(
            PlanChange.subscription_id == subscription.subscription_id,
            PlanChange.state == PlanChangeState.DONE,
            PlanChange.new_period.is_(True),
            PlanChange.took_effect_at > clock.epoch(moment),
        )
        .order_by(PlanChange.took_effect_at)
        .limit(1)
    ).one_or_none()
    if change is None or change.took_effect_at is None:
        return present
    return Sold(
        version=change.from_version,
        period_start=change.period_start,
        period_end=clock.from_epoch(change.took_effect_at),
    )
