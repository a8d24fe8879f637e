"""Usage that was acknowledged here against what the engine's meters counted."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from portal.flows.reconciling.difference import Difference, Side, read
from portal.services import reconciling


def compare(side: Side) -> Iterator[Difference]:
    """Compare the totals of each metered subscription in its present period: one call for each.

    Usage of the last hour is left out: an engine counts some time after it acknowledged.
    """
    until = _minute(side.now - timedelta(hours=1))
    after = 0
    while rows := read(
        lambda at=after: reconciling.metered(side.tenant_id, side.account, at)  # type: ignore[misc]
    ):
        after = rows[-1].record_id
        for row in rows:
            start = _minute(row.period_start)
            if start >= until:
                continue
            here = read(lambda of=row, at=start: reconciling.acknowledged(of, at, until))  # type: ignore[misc]
            there = side.engine.usage_total(
                side.account,
                meter_id=row.meter_id,
                customer_id=row.customer_id,
                start=start,
                end=until,
            )
            if here != there:
                yield side.difference(
                    "usage",
                    row.uuid,
                    here=str(here),
                    there=str(there),
                    since=start,
                    proposal="Compare under Admin > Publish usage; it is never sent blindly.",
                )


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
