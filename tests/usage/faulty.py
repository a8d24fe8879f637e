"""A provider that is asked by many at once, and what must hold after every fault."""

import threading
import time

from portal.billing.engine import UsageReceipt, UsageReport
from portal.errors import EngineBusy
from portal.extensions import db
from portal.flows import publishing
from portal.models import PublishRun, UsageTally
from tests.usage.conftest import Metered, MeterEngine, engine_for

DONE = ("ACKNOWLEDGED",)


def conserved(*some: Metered, parked_calls: int = 0) -> None:
    """I6 and I7 for these subscriptions."""
    for each in some:
        db.session.rollback()
        tallies = db.session.query(UsageTally).filter_by(subscription_id=each.id).all()
        held = {batch.batch_id: batch for batch in each.batches}
        claimed = sum(batch.quantity for batch in held.values())
        waiting = sum(tally.counted - tally.claimed for tally in tallies)
        assert each.recorded == sum(tally.counted for tally in tallies) == claimed + waiting, "I6"
        assert min((batch.quantity for batch in held.values()), default=1) > 0, "I6"
        settled = [batch for batch in held.values() if batch.state in DONE]
        assert each.total == sum(batch.quantity for batch in settled), "I7"
        assert each.recorded - each.total == waiting + parked_calls, "I6"
        known = [report.identifier for report in each.reports]
        assert len(known) == len(set(known)), "I7: twice"
        assert set(known) == {batch.identifier for batch in settled}, "I7"


class ManyAtOnce(MeterEngine):
    """Takes several calls at once, as Stripe does, and is busy for some of them."""

    parallel = 4
    calls_per_second = 400.0

    def __init__(self, busy: set[int] | None = None) -> None:
        super().__init__()
        self.busy = busy or set()
        self.lock = threading.Lock()
        self.at_once: dict[str, int] = {}
        self.most = 0
        self.second = threading.Event()

    def report_usage(self, account: str, report: UsageReport) -> UsageReceipt:
        with self.lock:
            number = self.reports
            self.at_once[report.customer_id] = self.at_once.get(report.customer_id, 0) + 1
            assert self.at_once[report.customer_id] == 1, "one call for a customer at a time"
            is_first = self.most == 0
            self.most = max(self.most, sum(self.at_once.values()))
            if self.most > 1:
                self.second.set()
        if is_first and self.parallel > 1:
            self.second.wait(2)  # Calls that are so short meet by luck alone.
        time.sleep(0.002)
        try:
            with self.lock:
                if number in self.busy:
                    self.reports += 1
                    raise EngineBusy("Busy.", retry_after=0.01)
                return super().report_usage(account, report)
        finally:
            with self.lock:
                self.at_once[report.customer_id] -= 1


def publish_with(engine: MeterEngine, factories) -> PublishRun:
    db.session.rollback()
    run_id = publishing.start(factories.tenant(), "test").run_id
    db.session.rollback()
    assert publishing.run(engine_for(engine), run_id)
    return db.session.get_one(PublishRun, run_id, populate_existing=True)


def moved(engine: MeterEngine, some: list[Metered], other: MeterEngine) -> None:
    other.provider = engine.provider
    for each in some:
        each.engine = other
