"""What the tests of `flask reconcile` do: compare, repair, and change one side behind its back."""

from datetime import UTC, datetime

import pytest

from portal.extensions import db
from portal.models import Subscription
from portal.services import subscriptions
from portal.services.subscriptions import Cause, Move
from tests.functional.service.conftest import ACCOUNT

everywhere = pytest.mark.all_databases
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def kinds(found):
    return sorted(found["by_kind"])


def alike(reconcile):
    code, found = reconcile()
    assert found["differences"] == []
    assert code == 0


def repaired(reconcile, *expected: str):
    """Find these kinds twice, the same, then repair them; nothing is left."""
    code, found = reconcile()
    assert (code, kinds(found)) == (1, sorted(expected)), found
    assert reconcile()[1]["by_kind"] == found["by_kind"], "looking changed something"
    code, done = reconcile("--repair")
    assert (code, done["left"]) == (0, 0), done
    alike(reconcile)
    return found["differences"][0]


def change(row: type, **values: object) -> None:
    db.session.rollback()
    for found in db.session.query(row):
        for name, value in values.items():
            setattr(found, name, value)
    db.session.commit()


def make_move(move: Move) -> None:
    """Change a fact as the portal does: with its line of the timeline."""
    db.session.rollback()
    row = db.session.query(Subscription).one()
    subscriptions.make(row, move, Cause(because="Made for a test.", actor="test"))
    db.session.commit()


def contract(sale):
    return next(iter(sale.engine.provider.contracts.values()))


def held(sale):
    return sale.engine.provider.account(ACCOUNT)
