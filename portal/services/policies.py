"""Business plans: making, changing and deleting them. A change of price makes a new version.

Nothing happens at the billing engine here; an API's monetization does that, per connected
account. What a plan may hold is checked in ``services/plan_rules.py``.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload
from sqlalchemy.orm.attributes import flag_modified

from portal import clock
from portal.errors import Conflict, Invalid
from portal.extensions import db
from portal.models.api import Api, ApiPolicy
from portal.models.policy import Policy, PolicyVersion, PricingModel, QuotaType
from portal.models.subscription import Subscription
from portal.models.user import EVERYONE, PORTAL_ROLES, User, UserRole
from portal.money import plain
from portal.services import tier_rules
from portal.services.paging import Page, Slice, page_of
from portal.services.plan_rules import CleanPlan, PlanDraft, Price, check


def listed(tenant_id: int) -> Sequence[Policy]:
    """Return the tenant's plans by name."""
    found = db.session.scalars(
        select(Policy)
        .where(Policy.tenant_id == tenant_id, Policy.deleted_at.is_(None))
        .order_by(func.lower(Policy.name), Policy.policy_id)
        .options(joinedload(Policy.versions))
    )
    return found.unique().all()


def page(tenant_id: int, number: int | Slice) -> Page[Policy]:
    """Return a part of the tenant's plans by name."""
    query = select(Policy).where(Policy.tenant_id == tenant_id, Policy.deleted_at.is_(None))
    return page_of(query.order_by(func.lower(Policy.name), Policy.policy_id), number)


def known_roles(tenant_id: int) -> frozenset[str]:
    """Return every role that a plan's permissions can name: the portals' and the people's."""
    given = db.session.scalars(
        select(UserRole.role)
        .join(User, User.user_id == UserRole.user_id)
        .where(User.tenant_id == tenant_id)
        .distinct()
    )
    return frozenset(given) | {*PORTAL_ROLES, EVERYONE}


def create(tenant_id: int, draft: PlanDraft, *, actor: str) -> Policy:
    """Make a plan with its first version.

    :raise portal.errors.Invalid: naming every field that is wrong; also when somebody else took
        the name a moment ago
    """
    clean = check(draft, known_roles(tenant_id))
    _refuse_taken(tenant_id, clean.name)
    policy = Policy(tenant_id=tenant_id, name=clean.name, live_name=live_name(clean.name))
    _write(policy, clean)
    policy.versions = [_version(1, clean.price, actor)]
    db.session.add(policy)
    try:
        db.session.flush()
    except IntegrityError as error:
        raise _taken(clean.name) from error
    return policy


def update(policy: Policy, draft: PlanDraft, *, revision: int | None, actor: str) -> bool:
    """Change a plan; return whether its price changed, which made a new version.

    The name stays: subscribers, invoices and meters know the plan by it. What was sold keeps its
    version.

    :param revision: the revision that the editor saw; ``None`` where it is not known
    :raise portal.errors.Conflict: if somebody else changed the plan since
    :raise portal.errors.Invalid: naming every field that is wrong
    """
    if revision is not None and revision != policy.revision:
        raise Conflict(
            "Somebody else changed this plan while you were editing. Open it again to see the "
            "newer values, then repeat your change."
        )
    clean = check(draft.named(policy.name), known_roles(policy.tenant_id))
    before = price_of(policy.current)
    _write(policy, clean)
    if clean.price != before:
        number = policy.current.number + 1
        policy.versions.append(_version(number, clean.price, actor))
    # The price is in another table: without this, two editors of a price would not collide.
    flag_modified(policy, "name")
    db.session.flush()
    return clean.price != before


def delete(policy: Policy) -> None:
    """Take a plan away. Its row stays for the history of what was sold under it.

    :raise portal.errors.Conflict: while an API offers it or a subscription runs on it
    """
    # Locked, so that nobody attaches it in the same moment.
    db.session.refresh(policy, with_for_update=True)
    apis = db.session.scalars(
        select(Api.api_name)
        .join(ApiPolicy, ApiPolicy.api_id == Api.api_id)
        .where(ApiPolicy.policy_id == policy.policy_id)
        .order_by(Api.api_name)
    ).all()
    if apis:
        names = ", ".join(dict.fromkeys(apis[:3])) + (" and others" if len(apis) > 3 else "")
        raise Conflict(
            f"{policy.name} is attached to {names}. Take it off there under Plans, then delete it."
        )
    running = _subscribers([policy.policy_id]).get(policy.policy_id, 0)
    if running:
        raise Conflict(
            f"{policy.name} still has {running} running "
            f"subscription{'' if running == 1 else 's'}. Delete it after they have ended."
        )
    policy.deleted_at = clock.now()
    policy.live_name = None


def subscribers(policies: Sequence[Policy]) -> dict[int, int]:
    """Return how many subscriptions run on each plan, by plan number; one query for all."""
    return _subscribers([policy.policy_id for policy in policies])


def draft_of(policy: Policy) -> PlanDraft:
    """Return a plan as an editor sees it."""
    version = policy.current
    bandwidth = policy.quota_type == QuotaType.BANDWIDTH
    return PlanDraft(
        name=policy.name,
        description=policy.description,
        quota_type=policy.quota_type,
        quota=str(policy.quota),
        quota_unit=(policy.quota_unit or "KB") if bandwidth else "KB",
        unit_time=str(policy.unit_time),
        time_unit=policy.time_unit,
        rate_limit_count="" if policy.rate_limit_count is None else str(policy.rate_limit_count),
        rate_limit_time_unit=policy.rate_limit_time_unit or "sec",
        stop_on_quota_reach=policy.stop_on_quota_reach,
        billing_plan=policy.billing_plan,
        monetization_plan=version.monetization_plan or "FIXEDRATE",
        fixed_price="" if version.fixed_rate is None else version.fixed_rate_words,
        price_per_request=(
            "" if version.price_per_request is None else plain(version.price_per_request)
        ),
        pricing_model=version.pricing_model or PricingModel.PER_REQUEST,
        tiers=tier_rules.written(version.tiers or ()),
        trial_days=str(version.trial_days or ""),
        takes_coupons=version.takes_coupons,
        currency=version.currency or "USD",
        billing_cycle=version.billing_cycle or "month",
        permission_type=policy.permission_type,
        permission_roles=tuple(policy.permission_roles),
        custom_attributes=tuple(
            (str(item["name"]), str(item["value"])) for item in policy.custom_attributes
        ),
    )


def price_of(version: PolicyVersion) -> Price:
    """Return what makes a version's price, for comparing."""
    return Price(
        billing_plan=version.billing_plan,
        monetization_plan=version.monetization_plan,
        fixed_rate=version.fixed_rate,
        price_per_request=version.price_per_request,
        pricing_model=version.pricing_model,
        tiers=tuple(version.tiers or ()),
        trial_days=version.trial_days,
        takes_coupons=version.takes_coupons,
        currency=version.currency,
        billing_cycle=version.billing_cycle,
    )


def live_name(name: str) -> str:
    """Return what is unique among a tenant's living plans: case makes no other plan."""
    return name.lower()


def _refuse_taken(tenant_id: int, name: str) -> None:
    taken = db.session.scalar(
        select(Policy.policy_id).where(
            Policy.tenant_id == tenant_id, Policy.live_name == live_name(name)
        )
    )
    if taken is not None:
        raise _taken(name)


def _taken(name: str) -> Invalid:
    sentence = f"There is a plan called {name} already. Choose another name, or edit that plan."
    return Invalid(sentence, {"name": sentence})


def _write(policy: Policy, clean: CleanPlan) -> None:
    policy.display_name = clean.display_name
    policy.description = clean.description
    policy.quota_type = clean.quota_type
    policy.quota = clean.quota
    policy.quota_unit = clean.quota_unit
    policy.unit_time = clean.unit_time
    policy.time_unit = clean.time_unit
    policy.rate_limit_count = clean.rate_limit_count
    policy.rate_limit_time_unit = clean.rate_limit_time_unit
    policy.custom_attributes = clean.custom_attributes
    policy.stop_on_quota_reach = clean.stop_on_quota_reach
    policy.billing_plan = clean.price.billing_plan
    policy.permission_type = clean.permission_type
    policy.permission_roles = clean.permission_roles


def _version(number: int, price: Price, actor: str) -> PolicyVersion:
    fields: dict[str, Any] = {
        "billing_plan": price.billing_plan,
        "monetization_plan": price.monetization_plan,
        "fixed_rate": price.fixed_rate,
        "price_per_request": price.price_per_request,
        "pricing_model": price.pricing_model,
        "tiers": list(price.tiers),
        "trial_days": price.trial_days,
        "takes_coupons": price.takes_coupons,
        "currency": price.currency,
        "billing_cycle": price.billing_cycle,
    }
    return PolicyVersion(number=number, created_by=actor, **fields)


def _subscribers(policy_ids: Sequence[int]) -> dict[int, int]:
    rows = db.session.execute(
        select(PolicyVersion.policy_id, func.count())
        .join(Subscription, Subscription.policy_version_id == PolicyVersion.policy_version_id)
        .where(PolicyVersion.policy_id.in_(policy_ids), Subscription.ended_at.is_(None))
        .group_by(PolicyVersion.policy_id)
    )
    return {int(policy_id): int(count) for policy_id, count in rows}
