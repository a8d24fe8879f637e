"""The portal's own ledger, which the gateway writes call by call."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from sqlalchemy import exists, select

from portal.analytics.source import AnalyticsSource
from portal.extensions import db
from portal.models import EnginePrice, EngineSubscription, UsageTally


class PortalSource(AnalyticsSource):
    """The calls are in the ledger already; this only finds whose are unclaimed."""

    name: ClassVar[str] = "portal"

    def check(self) -> None:
        """Do nothing: the ledger is in the portal's own database."""

    def gather(self, tenant_id: int, until: datetime) -> Sequence[int]:
        """Return the metered subscriptions that have unclaimed calls, also ended ones."""
        return db.session.scalars(
            select(UsageTally.subscription_id)
            .where(
                UsageTally.tenant_id == tenant_id,
                UsageTally.open_since.is_not(None),
                exists().where(
                    EngineSubscription.am_subscription_id == UsageTally.subscription_id,
                    EnginePrice.mapping_id == EngineSubscription.mapping_id,
                    EnginePrice.meter_event_name.is_not(None),
                ),
            )
            .distinct()
            .order_by(UsageTally.subscription_id)
        ).all()
