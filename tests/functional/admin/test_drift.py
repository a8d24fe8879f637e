"""The page of differences: both values, their risk, what ends them, and what the worker does."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from portal import jobs
from portal.billing.engine import EngineStatus
from portal.extensions import db
from portal.flows import drifting
from portal.flows.reconciling.risks import OUTWARD, RISKS
from portal.models import Drift, DriftCheck, DriftState
from portal.services import drift as drifts
from portal.services.subscriptions import Move
from tests.faults.planted import CATALOGUE
from tests.faults.world import World
from tests.support import statements

START = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
ACCOUNT = "acct_publisher1"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def life(app, engine, factories, clock):
    """A subscription that was paid ten minutes ago."""
    made = World(engine, factories).sell(ACCOUNT, factories.fixed_policy).pay()
    jobs.sweep()
    clock.shift(timedelta(minutes=10))
    return made


@pytest.fixture
def admin(factories, browser):
    factories.user("admin", "admin")
    return browser.sign_in("admin")


def states() -> list[tuple[str, str]]:
    db.session.rollback()
    return [(row.kind, row.state) for row in db.session.query(Drift).order_by(Drift.drift_id)]


def test_every_kind_of_the_catalogue_has_a_risk():
    kinds = {kind for fault in CATALOGUE for kind in fault.kinds}
    assert kinds == set(RISKS)
    assert set(RISKS) >= OUTWARD


def test_before_the_first_comparison_the_page_says_what_to_press(admin):
    admin.get("/admin/drift")
    assert "Not compared yet" in admin.text


def test_where_both_agree_the_page_says_so(admin, life):
    admin.get("/admin/drift").submit("Compare now")
    assert "Comparing has started." in admin.text
    assert "The portal and Stripe agree." in admin.text


@pytest.mark.all_databases
def test_what_changes_something_at_stripe_waits_for_a_press(admin, life):
    life.move(Move.END)
    db.session.remove()
    admin.get("/admin/drift").submit("Compare now")
    assert "Lives after end" in admin.text
    assert "Somebody pays on for what has ended." in admin.text
    assert life.engine_id in admin.text
    assert life.contract.snapshot.status is EngineStatus.ACTIVE
    admin.submit("Repair")
    assert "Repaired." in admin.text
    assert life.contract.snapshot.status is EngineStatus.CANCELED
    assert states() == [("lives_after_end", DriftState.REPAIRED)]
    admin.get("/admin/drift?state=repaired")
    assert "by admin" in admin.text


@pytest.mark.all_databases
def test_what_only_the_portal_has_wrong_is_put_right_each_hour(life):
    life.world.provider.fail_renewal(life.engine_id)
    jobs.compare_all()
    assert life.row.status == "BLOCKED"
    assert {state for _, state in states()} == {DriftState.REPAIRED}
    jobs.compare_all()
    check = db.session.query(DriftCheck).one()
    assert (check.number, check.found, check.repaired) == (2, 0, 0)


def test_what_is_found_again_stands_once_and_goes_when_it_is_gone(life):
    before = life.contract.snapshot
    life.world.provider.contracts.pop(life.engine_id)
    jobs.compare_all()
    jobs.compare_all()
    assert states() == [("subscription_missing", DriftState.OPEN)]
    life.world.provider.contracts[before.subscription_id] = _contract(life, before)
    jobs.compare_all()
    assert states() == [("subscription_missing", DriftState.GONE)]


def _contract(life, snapshot):
    from tests.support.memory_rows import Contract

    price = next(iter(life.held.prices.values())).spec
    return Contract(life.account, snapshot, price, None)


def test_what_cannot_be_looked_at_is_not_gone(life):
    life.world.provider.contracts.pop(life.engine_id)
    jobs.compare_all()
    life.world.provider.disconnect(ACCOUNT)
    jobs.compare_all()
    assert ("subscription_missing", DriftState.OPEN) in states()
    assert ("not_compared", DriftState.OPEN) in states()


def test_a_difference_that_is_for_a_person_has_no_button(admin, life):
    life.world.provider.contracts.pop(life.engine_id)
    db.session.remove()
    jobs.compare_all()
    admin.get("/admin/drift")
    assert "Subscription missing" in admin.text
    assert "Repair" not in [each.get_text(strip=True) for each in admin.soup.select("main button")]


def test_another_tenants_difference_is_not_there(admin, life, factories):
    life.world.provider.contracts.pop(life.engine_id)
    jobs.compare_all()
    found = db.session.query(Drift).one().drift_id
    tenant = factories.tenant("other.example")
    factories.user("eve", "admin", tenant=tenant)
    tenant_id = tenant.tenant_id
    db.session.remove()
    assert drifts.page(tenant_id, DriftState.OPEN).total == 0
    from portal.errors import NotFound

    with pytest.raises(NotFound):
        drifting.repair(life.world.engine_for, tenant_id, found, "eve")


def test_one_comparison_at_a_time(life):
    tenant_id = life.world.tenant_id
    drifts.start(tenant_id, "somebody")
    db.session.commit()
    assert drifting.check(life.world.engine_for, tenant_id) is False
    with time_machine.travel(START + timedelta(hours=2), tick=False):
        assert drifting.check(life.world.engine_for, tenant_id) is True


def test_the_page_costs_the_same_statements_for_few_and_for_many(admin, life):
    def fill(count: int) -> None:
        for number in range(count):
            row = Drift(
                tenant_id=life.world.tenant_id, kind="status", subject=f"sub_{number}",
                here="PAID", there="past_due", risk="high", danger="-", proposal="-",
                repairable=True, seen_by=1,
            )  # fmt: skip
            db.session.add(row)
        db.session.commit()
        db.session.remove()

    fill(2)
    few = statements.count(lambda: admin.get("/admin/drift"))
    fill(40)
    assert statements.count(lambda: admin.get("/admin/drift")) == few


def test_an_unknown_state_in_the_address_is_refused(admin):
    admin.get("/admin/drift?state=nonsense", expect=400)


def test_what_a_person_has_put_right_is_marked_by_a_press(admin, factories):
    factories.difference("usage", account=ACCOUNT, open_key="k")
    admin.get("/admin/drift")
    admin.submit("Mark as settled")
    assert states() == [("usage", DriftState.SETTLED)]
    admin.get("/admin/drift?state=settled")
    assert ", by admin" in admin.text
    assert "Mark as settled" not in admin.text
