"""The portal's own ledger, which the gateway writes call by call."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from sqlalchemy import exists, select

from portal.analytics.source import AnalyticsSource
from portal.extensions import db
from portal.models import EnginePrice, EngineSubscription, UsageEvent


class PortalSource(AnalyticsSource):
    """The calls are in the ledger already; this only finds whose are unclaimed."""

    name: ClassVar[str] = "portal"

    def check(self) -> None:
        """Do nothing: the ledger is in the portal's own database."""

    def gather(self, tenant_id: int, until: datetime) -> Sequence[int]:
        """Return the metered subscriptions that have unclaimed calls, also ended ones."""
        unclaimed = exists().where(
            UsageEvent.subscription_id == EngineSubscription.am_subscription_id,
            UsageEvent.batch_id.is_(None),
            UsageEvent.counted.is_(True),
            UsageEvent.at <= until,
        )
        return db.session.scalars(
            select(EngineSubscription.am_subscription_id)
            .join(EnginePrice, EnginePrice.mapping_id == EngineSubscription.mapping_id)
            .where(
                EngineSubscription.tenant_id == tenant_id,
                EnginePrice.meter_event_name.is_not(None),
                unclaimed,
            )
            .distinct()
            .order_by(EngineSubscription.am_subscription_id)
        ).all()
