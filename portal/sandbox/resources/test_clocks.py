"""Test clocks: made, advanced, deleted.

Attach a customer with ``test_clock`` when it is created; all that is bought for it follows.
"""

from __future__ import annotations

from portal.sandbox.call import Call, Json, operation
from portal.sandbox.engine import advancing, clocks
from portal.sandbox.errors import missing_param, not_found
from portal.sandbox.resources import common
from portal.sandbox.store import Record


@operation("PostTestHelpersTestClocks", "frozen_time name")
def create(call: Call) -> Json:
    """Create a clock that stands still at `frozen_time`."""
    if "frozen_time" not in call.params:
        raise missing_param("frozen_time")
    frozen, name = int(call.params["frozen_time"]), call.params.get("name")
    return common.show(call, clocks.create(call.db, call.account, frozen, name or None))


def _find(call: Call) -> Record:
    clock = common.from_path(call, clocks.KIND)
    if clock.get("deleted"):
        raise not_found("test clock", clock["id"])
    return clock


@operation("GetTestHelpersTestClocksTestClock")
def retrieve(call: Call) -> Json:
    """Return one clock: ``advancing`` until all that was due has been done."""
    return common.show(call, _find(call))


@operation("GetTestHelpersTestClocks", listing=True)
def index(call: Call) -> Json:
    """List clocks."""
    filters = [("status <> ?", "deleted")]
    return common.page(call, clocks.KIND, filters, "/v1/test_helpers/test_clocks")


@operation("PostTestHelpersTestClocksTestClockAdvance", "frozen_time")
def advance(call: Call) -> Json:
    """Send a clock forward; it is ``ready`` again when it has arrived."""
    if "frozen_time" not in call.params:
        raise missing_param("frozen_time")
    clock = advancing.advance(call.db, _find(call), int(call.params["frozen_time"]))
    while call.settings.instant_clocks and clock["status"] == "advancing":
        advancing.work(call.db, clock, patient=False)
    return common.show(call, clock)


@operation("DeleteTestHelpersTestClocksTestClock")
def delete(call: Call) -> Json:
    """Delete a clock and its customers; their subscriptions are cancelled."""
    return common.show(call, advancing.delete(call.db, _find(call)))
