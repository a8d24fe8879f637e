"""Business plans (WSO2: subscription policies) and the versions of their price."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Integer, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from portal import clock, rating
from portal.billing.engine import UsageType
from portal.extensions import Model
from portal.models.types import DecimalText, UtcDateTime, new_uuid, text_id
from portal.money import exponent, to_minor, unit_in_minor


class QuotaType(StrEnum):
    """What a plan's quota counts."""

    REQUESTS = "REQUESTCOUNTLIMIT"
    BANDWIDTH = "BANDWIDTHLIMIT"
    EVENTS = "EVENTCOUNTLIMIT"


class BillingPlan(StrEnum):
    """Whether a plan costs money."""

    FREE = "FREE"
    COMMERCIAL = "COMMERCIAL"


class MonetizationPlan(StrEnum):
    """How a commercial plan costs money."""

    FIXED = "FIXEDRATE"
    DYNAMIC = "DYNAMICRATE"


class PricingModel(StrEnum):
    """How a dynamic plan's price turns calls into money."""

    PER_REQUEST = "PER_REQUEST"
    GRADUATED = "GRADUATED"
    """Each call costs what its own tier says; a first tier of 0 includes calls in a base fee."""
    VOLUME = "VOLUME"
    """All calls of a cycle cost what the tier of their total says."""


class Permission(StrEnum):
    """Whether a plan's roles are the only ones admitted, or the ones kept out."""

    NONE = "NONE"
    ALLOW = "ALLOW"
    DENY = "DENY"


def _lower_name(context: Any) -> str:
    return str(context.get_current_parameters()["name"]).lower()


class Policy(Model):
    """A business plan of a tenant: a quota, a burst limit, and a price that has versions."""

    __tablename__ = "am_policy_subscription"
    __table_args__ = (UniqueConstraint("tenant_id", "live_name"),)

    policy_id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(text_id(36), unique=True, default=new_uuid)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("am_tenant.tenant_id"))
    name: Mapped[str] = mapped_column(text_id(60))
    live_name: Mapped[str | None] = mapped_column(text_id(120), default=_lower_name)
    """The name in lower case while the plan lives: a deleted plan's name may be used again."""
    display_name: Mapped[str] = mapped_column(String(512))
    description: Mapped[str] = mapped_column(String(1024), default="")
    quota_type: Mapped[str] = mapped_column(String(25), default=QuotaType.REQUESTS)
    quota: Mapped[int] = mapped_column(Integer)
    """Requests, events, or ``quota_unit`` of data in each ``unit_time`` ``time_unit``."""
    quota_unit: Mapped[str | None] = mapped_column(String(10))
    """KB or MB, for a bandwidth quota."""
    unit_time: Mapped[int] = mapped_column(Integer, default=1)
    time_unit: Mapped[str] = mapped_column(String(25), default="min")
    """min, hours, days, months or years."""
    rate_limit_count: Mapped[int | None] = mapped_column(Integer)
    rate_limit_time_unit: Mapped[str | None] = mapped_column(String(25))
    """sec or min."""
    custom_attributes: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    stop_on_quota_reach: Mapped[bool] = mapped_column(Boolean, default=True)
    billing_plan: Mapped[str] = mapped_column(String(20), default=BillingPlan.FREE)
    permission_type: Mapped[str] = mapped_column(String(10), default=Permission.NONE)
    permission_roles: Mapped[list[str]] = mapped_column(JSON, default=list)
    revision: Mapped[int] = mapped_column(Integer, default=1)
    """Raised by every edit; the form sends it back, so that two editors notice each other."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    versions: Mapped[list["PolicyVersion"]] = relationship(
        back_populates="policy", order_by="PolicyVersion.number", lazy="selectin"
    )

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012 - SQLAlchemy's own way

    @property
    def current(self) -> "PolicyVersion":
        """The version that is sold now."""
        return self.versions[-1]

    @property
    def is_commercial(self) -> bool:
        """Whether the version that is sold now costs money."""
        return self.billing_plan == BillingPlan.COMMERCIAL

    def admits(self, roles: frozenset[str]) -> bool:
        """Whether a person with these roles may choose this plan."""
        if self.permission_type == Permission.ALLOW:
            return bool(roles & set(self.permission_roles))
        if self.permission_type == Permission.DENY:
            return not roles & set(self.permission_roles)
        return True


class PolicyVersion(Model):
    """One price of a plan, immutable. A subscription keeps the version that it was sold."""

    __tablename__ = "am_policy_version"
    __table_args__ = (UniqueConstraint("policy_id", "number"),)

    policy_version_id: Mapped[int] = mapped_column(primary_key=True)
    policy_id: Mapped[int] = mapped_column(ForeignKey("am_policy_subscription.policy_id"))
    number: Mapped[int] = mapped_column(Integer)
    billing_plan: Mapped[str] = mapped_column(String(20))
    monetization_plan: Mapped[str | None] = mapped_column(String(25))
    fixed_rate: Mapped[Decimal | None] = mapped_column(DecimalText)
    """Major units of the currency for each billing cycle."""
    price_per_request: Mapped[Decimal | None] = mapped_column(DecimalText)
    """Major units of the currency for one request."""
    pricing_model: Mapped[str | None] = mapped_column(String(15))
    """How a dynamic plan is charged; ``None`` for others, and as ``PER_REQUEST``."""
    tiers: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)
    """``up_to`` (``null`` for the last), ``unit`` and ``flat`` as text in major units."""
    trial_days: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Days before the first invoice is due; the card is asked for at once."""
    takes_coupons: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Whether the payment page has a field for a promotion code."""
    currency: Mapped[str | None] = mapped_column(String(3))
    """Upper case, as WSO2 stores it."""
    billing_cycle: Mapped[str | None] = mapped_column(String(15))
    """week, month or year."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=clock.now)
    created_by: Mapped[str] = mapped_column(String(255), default="")

    policy: Mapped[Policy] = relationship(back_populates="versions", lazy="joined")

    @property
    def is_commercial(self) -> bool:
        """Whether this version costs money."""
        return self.billing_plan == BillingPlan.COMMERCIAL

    @property
    def is_dynamic(self) -> bool:
        """Whether this version is charged per request."""
        return self.monetization_plan == MonetizationPlan.DYNAMIC

    @property
    def is_tiered(self) -> bool:
        """Whether the price of a request depends on how many were made."""
        return self.pricing_model in (PricingModel.GRADUATED, PricingModel.VOLUME)

    @property
    def price_tiers(self) -> tuple[rating.Tier, ...]:
        """The tiers in minor units; empty for a price without tiers."""
        currency = self.currency or ""
        return tuple(
            rating.Tier(
                up_to=tier["up_to"],
                unit_minor=unit_in_minor(Decimal(tier["unit"]), currency),
                flat_minor=Decimal(to_minor(Decimal(tier["flat"]), currency)),
            )
            for tier in self.tiers or ()
        )

    @property
    def usage_type(self) -> UsageType:
        """How the billing engine charges this version."""
        return UsageType.METERED if self.is_dynamic else UsageType.LICENSED

    @property
    def unit_minor(self) -> Decimal:
        """The price of one unit in minor units: of a cycle, or of a request."""
        if self.is_tiered:
            return Decimal(0)
        if self.price_per_request is not None and self.currency:
            return unit_in_minor(self.price_per_request, self.currency)
        if self.fixed_rate is not None and self.currency:
            return Decimal(to_minor(self.fixed_rate, self.currency))
        raise ValueError("A free plan has no price.")

    @property
    def price(self) -> rating.Price | None:
        """The price as the rating reckons with it; ``None`` for a free plan."""
        if not self.is_commercial or not self.currency:
            return None
        currency = self.currency.lower()
        if self.is_tiered:
            make = rating.volume if self.pricing_model == PricingModel.VOLUME else rating.graduated
            return make(currency, *self.price_tiers)
        if self.is_dynamic:
            return rating.per_call(self.unit_minor, currency)
        return rating.fixed(int(self.unit_minor), currency)

    @property
    def price_words(self) -> str:
        """The price as WSO2's developer portal states it: ``9.99 USD per month``.

        The amount is written as on an invoice: ``10,000.00 USD``.
        """
        currency = (self.currency or "").lower()
        if self.is_tiered:
            return self._tiers_words
        if self.price_per_request is not None:
            return f"{rating.price_words(self.unit_minor, currency)} per Request"
        if self.fixed_rate is not None:
            return f"{rating.price_words(self.unit_minor, currency)} per {self.billing_cycle}"
        return "Free"

    @property
    def fixed_rate_words(self) -> str:
        """The fixed price with the currency's decimals."""
        if self.fixed_rate is None or self.currency is None:
            return ""
        places = 2 if exponent(self.currency) == 3 else exponent(self.currency)
        return f"{self.fixed_rate:.{places}f}"

    @property
    def _tiers_words(self) -> str:
        """A tiered price in one line, such as ``1,000 Requests included, then 0.004 USD …``."""
        first, *others = self.price_tiers
        currency, each = (self.currency or "").lower(), "per Request"
        if self.pricing_model == PricingModel.GRADUATED and not first.unit_minor and others:
            fee = rating.price_words(first.flat_minor, currency)
            base = f"{fee} per {self.billing_cycle} with " if first.flat_minor else ""
            then = f"then {rating.price_words(others[0].unit_minor, currency)} {each}"
            return f"{base}{first.up_to:,} Requests included, {then}"
        cheapest = min(tier.unit_minor for tier in (first, *others))
        return f"from {rating.price_words(cheapest, currency)} {each}"
