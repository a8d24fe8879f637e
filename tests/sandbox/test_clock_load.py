"""Advances in batches: resumed after a crash, at once by a flag, many at a time by another."""

import dataclasses
from pathlib import Path

import pytest

from portal.sandbox import scheduler
from portal.sandbox.app import create_sandbox
from portal.sandbox.clock import ManualClock
from portal.sandbox.engine import advancing
from portal.sandbox.settings import SandboxSettings, from_environment
from tests.benchmarks.bench_sandbox_renewals import measure
from tests.sandbox.clock_support import DAY, HOUR, at, timeline
from tests.sandbox.conftest import START, World

NOON = at("2027-03-10T12:00:00")


def other(world: World, **changes: bool) -> World:
    """The same world served by another process over the same file."""
    settings: SandboxSettings = world.app.extensions["sandbox"].settings
    app = create_sandbox(
        dataclasses.replace(settings, **changes),  # type: ignore[arg-type]
        clock=ManualClock(START),
        transport=lambda *_: 200,
    )
    return World(app, world.clock, world.key, world.platform, world.account)


def test_an_advance_goes_on_after_a_crash_without_doing_anything_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = timeline(world, NOON)
    price = world.licensed().id
    identifiers = [line.subscribe(price) for _ in range(3)]
    advance = world.api.v1.test_helpers.test_clocks.advance
    advance(line.clock, {"frozen_time": NOON + 31 * DAY + HOUR})
    monkeypatch.setattr(advancing, "_BATCH", 1)
    store = world.app.extensions["sandbox"].store
    assert scheduler.run_due(store, START, limit=4) == 4
    store.close()
    again = other(world)
    line.world = again
    waiting = again.api.v1.test_helpers.test_clocks.retrieve(line.clock)
    assert (waiting.status, waiting.frozen_time) == ("advancing", NOON)
    assert [len(line.invoices(each)) for each in identifiers] == [2, 2, 2]
    again.tick()
    assert again.api.v1.test_helpers.test_clocks.retrieve(line.clock).status == "ready"
    for identifier in identifiers:
        assert [each.status for each in line.invoices(identifier)] == ["paid", "paid"]
    types = again.event_types()
    assert types.count("invoice.created") == 6
    assert types.count("invoice.paid") == 6
    assert types[-1] == "test_helpers.test_clock.ready"
    again.app.extensions["sandbox"].store.close()


def test_a_flag_advances_inside_the_request(world: World) -> None:
    quick = other(world, instant_clocks=True)
    line = timeline(quick, NOON)
    identifier = line.subscribe(quick.licensed().id)
    advance = quick.api.v1.test_helpers.test_clocks.advance
    arrived = advance(line.clock, {"frozen_time": NOON + 32 * DAY})
    assert (arrived.status, arrived.frozen_time) == ("ready", NOON + 32 * DAY)
    assert len(line.invoices(identifier)) == 2
    quick.app.extensions["sandbox"].store.close()


def test_a_flag_lifts_the_limits_of_a_clock(world: World) -> None:
    wide = other(world, unlimited_clocks=True)
    line = timeline(wide, NOON)
    price = wide.licensed().id
    assert len({line.subscribe(price) for _ in range(5)}) == 5
    for _ in range(5):
        wide.api.v1.customers.create({"test_clock": line.clock})
    wide.app.extensions["sandbox"].store.close()


def test_the_environment_sets_the_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SANDBOX_DATABASE", str(tmp_path / "x.sqlite3"))
    assert not from_environment().instant_clocks
    assert not from_environment().unlimited_clocks
    monkeypatch.setenv("SANDBOX_INSTANT_CLOCKS", "1")
    monkeypatch.setenv("SANDBOX_UNLIMITED_CLOCKS", "1")
    assert from_environment().instant_clocks
    assert from_environment().unlimited_clocks


def test_the_benchmark_counts_what_it_renews() -> None:
    measured = measure(20)
    # Eight events each, and the clock's own two.
    assert (measured["paid"], measured["events"]) == (20, 162)
