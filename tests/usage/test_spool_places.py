"""Where calls are written down: by the database that counts them, not by how it is addressed."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from portal import clock, create_app
from portal.cli.doctor import doctor
from portal.config import Settings
from portal.extensions import db
from portal.flows import draining
from portal.gateway.process import Gate
from portal.gateway.recorder import Line, Recorder
from portal.models import KeyType, UsageSpool, UsageTally
from portal.services import ledger, spool_place


def _write(folder: Path, metered: Any, calls: int) -> None:
    recorder = Recorder(folder)
    for _ in range(calls):
        recorder.append(_line(metered))
    recorder.close()


def _line(metered: Any) -> Line:
    return Line(
        call_id=uuid4(), subscription_id=metered.id, key_type=KeyType.PRODUCTION, method="GET",
        resource="/x", status=200, at=ledger.millis(clock.now()),
    )  # fmt: skip


def _counted() -> int:
    db.session.rollback()
    return sum(row.counted for row in db.session.query(UsageTally))


def _addressed(settings: Settings, option: str) -> Settings:
    mark = "&" if "?" in settings.database_url else "?"
    return settings.model_copy(update={"database_url": f"{settings.database_url}{mark}{option}"})


@pytest.mark.all_databases
def test_another_address_of_the_same_database_leaves_no_call_behind(app, settings, metered) -> None:
    option = "timeout=20" if db.engine.dialect.name == "sqlite" else "connect_timeout=9"
    folder = draining.folder_of(settings)
    _write(folder, metered, 70)
    again = create_app(_addressed(settings, option))
    with again.app_context():
        assert draining.folder_of(again.extensions["portal_settings"]) == folder
        draining.drain_here()
        db.engine.dispose()

    assert _counted() == 70


def test_calls_of_a_version_before_are_counted(app, settings, metered) -> None:
    _write(draining._by_address(settings), metered, 3)
    draining.drain_here()

    assert _counted() == 3


def test_a_database_that_does_not_answer_costs_no_call(
    app, settings, metered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_connection: object) -> int:
        raise sa.exc.OperationalError("", None, Exception("away"))

    with monkeypatch.context() as patch:
        patch.setattr(spool_place, "number_of", away)
        _write(draining.folder_of(settings), metered, 3)
    draining.drain_here()

    assert _counted() == 3


def test_a_gateway_that_is_stopped_counts_what_it_has_written_down(app, settings, metered) -> None:
    gate = Gate(app)
    gate._at_once = False
    gate.record(_line(metered))
    assert _counted() == 0
    gate.stop()

    assert _counted() == 1


def test_two_at_once_give_a_database_one_number(app, settings) -> None:
    draining.folder_of(settings)
    with db.engine.connect().execution_options(portal_writes=True) as connection:
        before = spool_place.number_of(connection)
        spool_place.give_number(connection)
        assert spool_place.number_of(connection) == before
        connection.rollback()

    assert db.session.query(UsageSpool).count() == 1


def test_looking_gives_a_database_no_number(app, settings) -> None:
    assert draining.others(settings) == []
    assert draining.known_folder(settings).parent == settings.instance / "spool"

    assert db.session.query(UsageSpool).count() == 0


def test_the_doctor_names_calls_that_nobody_counts(app, settings, metered, factories) -> None:
    other = draining.folder_of(settings).parent / "0123456789ab"
    _write(other, metered, 2)
    runner = app.test_cli_runner()
    found = runner.invoke(doctor).output
    assert f"{other} (1)" in " ".join(found.split())
    assert "move them into" in found
    draining.drain_all(other)

    assert draining.others(settings) == []
    assert str(other) not in runner.invoke(doctor).output
