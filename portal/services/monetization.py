"""What an API sells at the billing engine: which plans, at which price, through whose account.

Rows here say what is wanted and what is known; ``flows/monetizing.py`` makes the engine follow.
An ``EnginePrice`` is stored before anything is created there and is never deleted, so that every
object that was ever made can be found again. An ``Offer`` is what is for sale now.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import ColumnElement, delete, exists, or_, select, update
from sqlalchemy.exc import IntegrityError

from portal import clock
from portal.billing.engine import MeterSpec, PriceSpec, ProductSpec
from portal.errors import Invalid
from portal.extensions import db
from portal.models.api import CONNECTED_ACCOUNT, Api, Lifecycle
from portal.models.offer import EnginePrice, Offer, PortalConfiguration
from portal.models.plan_change import PlanChange
from portal.models.policy import Policy, PricingModel
from portal.models.subscription import Billing, Subscription

LONGEST_PRODUCT_NAME = 250


class InvalidApiState(Invalid):
    """The API's state does not permit monetization (WSO2: 904300)."""

    code = 904300
    title = "Invalid API state"


@dataclass(frozen=True, kw_only=True)
class PlanState:
    """A commercial plan of an API, and whether it is for sale."""

    policy: Policy
    offer: Offer | None

    @property
    def is_monetized(self) -> bool:
        """Whether it is sold at the billing engine now."""
        return self.offer is not None

    @property
    def is_current(self) -> bool:
        """Whether it is sold at the price that the plan has now."""
        return (
            self.offer is not None
            and self.offer.price.policy_version_id == self.policy.current.policy_version_id
        )


@dataclass(frozen=True, kw_only=True)
class Sale:
    """One price that the engine shall have, as plain values. ``key`` begins idempotency keys."""

    mapping_id: int
    plan: str
    key: str
    product: ProductSpec
    meter: MeterSpec | None
    lookup_key: str
    currency: str
    unit_minor: Decimal
    price: PriceSpec
    """Complete but for its meter, which the engine names first."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A price that is no longer for sale here and may still be active at the engine."""

    mapping_id: int
    plan: str
    account: str
    price_id: str
    ends_product: str | None
    """The product, if after this price its account sells nothing of the API any more."""


def check_can_enable(api: Api) -> None:
    """Refuse what cannot be monetized: an API that is not published, or sells nothing.

    :raise portal.errors.Invalid: with the sentence that says what to do first
    """
    if api.status != Lifecycle.PUBLISHED:
        raise InvalidApiState(
            f"Monetization is switched on for published APIs; this one is {api.status.lower()}. "
            "Publish it first."
        )
    if not any(policy.is_commercial for policy in api.policies):
        raise Invalid(
            "No commercial plan is attached to this API, so there is nothing to sell. Attach one "
            "under Plans first."
        )


def plan_states(api: Api) -> list[PlanState]:
    """Return the API's commercial plans with what they are sold at; one query for all."""
    offers = {
        offer.price.policy_uuid: offer
        for offer in db.session.scalars(select(Offer).where(Offer.api_id == api.api_id))
    }
    return [
        PlanState(
            policy=policy, offer=offers.get(policy.uuid) if api.is_monetization_enabled else None
        )
        for policy in api.policies
        if policy.is_commercial
    ]


def current_price(api: Api, policy: Policy) -> EnginePrice | None:
    """Return the price at which an API sells a plan now; ``None`` if it does not.

    After a change of the plan's price this is still the older one, until the publisher saves
    the API's monetization again.
    """
    if not api.is_monetization_enabled or not policy.is_commercial:
        return None
    offer = db.session.scalars(
        select(Offer).where(Offer.api_id == api.api_id, Offer.tier_name == policy.name)
    ).one_or_none()
    return offer.price if offer else None


def intend(api: Api, values: Mapping[str, str]) -> list[Sale]:
    """Store what shall be sold, before the engine is asked: a row for each plan and account."""
    api.monetization_properties = dict(values)
    # On sale again: what was to be ended and has not been goes on.
    api.endings = api.endings_by = None
    # Two people who save at once meet here, at the API's row, and not at a half-made price.
    db.session.flush()
    account = values[CONNECTED_ACCOUNT]
    _withdraw_free(api)
    known = {
        row.policy_version_id: row
        for row in db.session.scalars(
            select(EnginePrice).where(
                EnginePrice.api_id == api.api_id, EnginePrice.connected_account == account
            )
        )
    }
    sales = []
    for policy in api.policies:
        if not policy.is_commercial:
            continue
        row = known.get(policy.current.policy_version_id)
        if row is None:
            row = EnginePrice(
                api_id=api.api_id,
                policy_uuid=policy.uuid,
                policy_version_id=policy.current.policy_version_id,
                connected_account=account,
                policy_version=policy.current,
            )
            db.session.add(row)
            db.session.flush()
        sales.append(_sale(api, policy, row))
    return sales


def _withdraw_free(api: Api) -> None:
    """Take off sale what has become free since it was put up."""
    commercial = {policy.uuid for policy in api.policies if policy.is_commercial}
    for offer in db.session.scalars(select(Offer).where(Offer.api_id == api.api_id)):
        if offer.price.policy_uuid not in commercial:
            db.session.delete(offer)


def _sale(api: Api, policy: Policy, row: EnginePrice) -> Sale:
    version = row.policy_version
    currency = str(version.currency).lower()
    lookup_key = f"apim:{api.api_uuid}:{policy.uuid}:{version.number}"
    about = {
        "apim_tenant": api.tenant.tenant_domain,
        "apim_api_uuid": api.api_uuid,
        "apim_policy_uuid": policy.uuid,
        "apim_policy_version": str(version.number),
        "apim_mapping_uuid": row.uuid,
    }
    return Sale(
        mapping_id=row.mapping_id,
        plan=policy.name,
        key=row.uuid,
        product=product_of(api),
        meter=meter_of(api, policy) if version.is_dynamic else None,
        lookup_key=lookup_key,
        currency=currency,
        unit_minor=version.unit_minor,
        price=PriceSpec(
            product_id=product_id(api),
            lookup_key=lookup_key,
            nickname=policy.name,
            currency=currency,
            unit_minor=version.unit_minor,
            usage_type=version.usage_type,
            interval=str(version.billing_cycle),
            meter_id=None,
            metadata=about,
            tiers=version.price_tiers,
            is_volume=version.pricing_model == PricingModel.VOLUME,
        ),
    )


def product_id(api: Api) -> str:
    """Return the API's product id, the same in every connected account."""
    return f"apim_{api.api_uuid.replace('-', '')}"


def product_of(api: Api) -> ProductSpec:
    """Return the API as a product, named as WSO2 names it: name, version, provider."""
    name = f"{api.api_name}-{api.api_version}-{api.provider.username}"
    return ProductSpec(
        product_id=product_id(api),
        name=name[:LONGEST_PRODUCT_NAME],
        metadata={"apim_tenant": api.tenant.tenant_domain, "apim_api_uuid": api.api_uuid},
    )


def meter_of(api: Api, policy: Policy) -> MeterSpec:
    """Return what counts the requests of one API and plan, whatever the plan's price.

    The engine keeps an event name for ever, so it is made of ids that never change.
    """
    both = hashlib.sha256(f"{api.api_uuid}:{policy.uuid}".encode()).hexdigest()
    name = f"apim_{api.api_uuid[:8]}_{policy.uuid[:8]}_{both[:16]}"
    return MeterSpec(
        event_name=name,
        display_name=f"{api.api_name} {api.api_version}, {policy.name}: requests",
    )


def record_sale(mapping_id: int, *, price_id: str, meter_id: str | None) -> None:
    """Store what the engine answered for one plan and put it up for sale. Repeating is harmless."""
    row = db.session.get_one(EnginePrice, mapping_id)
    # Two who save at once would both find no offer: the second one waits here for the first.
    api = db.session.get_one(Api, row.api_id, with_for_update={"of": Api})
    policy = row.policy_version.policy
    row.product_id, row.plan_id, row.meter_id = product_id(api), price_id, meter_id
    row.meter_event_name = meter_of(api, policy).event_name if meter_id else None
    row.archived_at = None
    api.is_monetization_enabled = True
    offer = db.session.scalars(
        select(Offer).where(Offer.api_id == api.api_id, Offer.tier_name == policy.name)
    ).one_or_none()
    if offer is None:
        offer = Offer(api_id=api.api_id, tier_name=policy.name)
        db.session.add(offer)
    if offer.stripe_plan_id != price_id:
        offer.monetized_at = clock.now()
    offer.stripe_product_id, offer.stripe_plan_id = product_id(api), price_id
    offer.price = row
    db.session.flush()


def withdraw(api: Api) -> None:
    """Take everything off sale here. Subscriptions that run go on and are billed as sold."""
    api.is_monetization_enabled = False
    db.session.execute(delete(Offer).where(Offer.api_id == api.api_id))


def leftovers(api: Api, *, spare_unpaid: bool) -> list[Leftover]:
    """Return the prices that are not for sale here and not known to be archived at the engine.

    :param spare_unpaid: leave out prices that somebody who subscribed earlier is still to pay:
        the engine opens no payment page for an archived price
    """
    rows = db.session.scalars(
        select(EnginePrice)
        .outerjoin(Offer, Offer.mapping_id == EnginePrice.mapping_id)
        .where(
            EnginePrice.api_id == api.api_id,
            EnginePrice.plan_id.is_not(None),
            EnginePrice.archived_at.is_(None),
            Offer.monetization_id.is_(None),
            *([_nobody_is_to_pay()] if spare_unpaid else []),
        )
        .order_by(EnginePrice.mapping_id)
    ).all()
    last = {row.connected_account: row.mapping_id for row in rows}
    selling = set(
        db.session.scalars(
            select(EnginePrice.connected_account)
            .join(Offer, Offer.mapping_id == EnginePrice.mapping_id)
            .where(EnginePrice.api_id == api.api_id)
        )
    )
    return [
        Leftover(
            mapping_id=row.mapping_id,
            plan=row.policy_version.policy.name,
            account=row.connected_account,
            price_id=str(row.plan_id),
            ends_product=row.product_id
            if row.mapping_id == last[row.connected_account]
            and row.connected_account not in selling
            and not spare_unpaid
            else None,
        )
        for row in rows
    ]


def _nobody_is_to_pay() -> ColumnElement[bool]:
    subscribed = exists().where(
        Subscription.api_id == EnginePrice.api_id,
        Subscription.policy_version_id == EnginePrice.policy_version_id,
        Subscription.ended_at.is_(None),
        Subscription.billing.in_((Billing.PENDING, Billing.LAPSED)),
    )
    changing = exists().where(
        PlanChange.mapping_id == EnginePrice.mapping_id, PlanChange.open_key.is_not(None)
    )
    return ~or_(subscribed, changing)


def record_archived(mapping_id: int) -> None:
    """Store that a price is archived at the engine. Repeating keeps the first time."""
    row = db.session.get_one(EnginePrice, mapping_id)
    row.archived_at = row.archived_at or clock.now()


def portal_configuration(api: Api, account: str, return_url: str) -> PortalConfiguration:
    """Return the row of the customer portal's configuration in an account, made if need be."""
    query = select(PortalConfiguration).where(
        PortalConfiguration.tenant_id == api.tenant_id,
        PortalConfiguration.connected_account == account,
    )
    row = db.session.scalars(query).one_or_none()
    if row is None:
        row = PortalConfiguration(
            tenant_id=api.tenant_id, connected_account=account, return_url=return_url
        )
        try:
            with db.session.begin_nested():
                db.session.add(row)
        except IntegrityError:
            # Another API of the same account was saved at the same moment.
            row = db.session.scalars(query).one()
    row.return_url = return_url
    return row


def record_portal_configuration(row_id: int, configuration_id: str) -> None:
    """Store the engine's id of a customer portal configuration."""
    db.session.execute(
        update(PortalConfiguration)
        .where(PortalConfiguration.portal_configuration_id == row_id)
        .values(configuration_id=configuration_id)
    )


def names(plans: Sequence[str]) -> str:
    """Write names as people list them: ``Gold``, ``Gold and Silver``, ``A, B and C``."""
    if len(plans) < 2:
        return "".join(plans)
    return f"{', '.join(plans[:-1])} and {plans[-1]}"
