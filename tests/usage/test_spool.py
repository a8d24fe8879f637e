"""Spool files: what is written is counted once, whatever is killed, torn or read twice."""

import multiprocessing
import os
import random
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from portal import create_app
from portal.config import Settings
from portal.extensions import db
from portal.flows import draining
from portal.gateway import recorder as recorders
from portal.gateway.recorder import Line, Recorder
from portal.models import KeyType, UsageBucket, UsageSegment, UsageSpool
from portal.services import evidence, records, spool, usage
from portal.services.records import SIZE
from tests.usage.conftest import NOW

KILLS = int(os.environ.get("USAGE_KILLS", "6"))
AT = int(NOW.timestamp() * 1000)


def _line(number: int, **more: object) -> Line:
    values = {
        "call_id": uuid4(),
        "subscription_id": number,
        "key_type": KeyType.PRODUCTION,
        "method": "GET",
        "resource": "/rates/{id}",
        "status": 200,
        "at": AT,
        "bytes": 10,
    }
    return Line(**(values | more))


@pytest.fixture
def recorder(tmp_path: Path):
    made = Recorder(tmp_path / "spool")
    yield made
    made.close()


def _calls() -> list[spool.Entry]:
    db.session.rollback()
    kept = db.session.query(UsageSegment).order_by(UsageSegment.segment_id)
    return [entry for one in kept for entry in spool.entries(evidence.unpacked(one.records))]


@pytest.mark.all_databases
def test_what_is_written_is_counted_and_can_be_read_back(metered, recorder) -> None:
    lines = [
        _line(metered.id),
        _line(metered.id, status=503),
        _line(metered.id, key_type=KeyType.SANDBOX, method="POST"),
        _line(metered.id, at=AT + 3_600_000),
    ]
    for line in lines:
        recorder.append(line)
    recorder.append(_line(metered.id, bytes=90), kind=records.WEIGHT)

    assert draining.drain_file(recorder.path) == recorder.path.stat().st_size
    assert draining.drain_file(recorder.path) == 0
    found = usage.summary(metered.id, None, None)
    assert (found.counted, found.total) == (2, 4)
    assert db.session.scalar(sa.select(sa.func.sum(UsageBucket.bytes))) == 130
    assert [entry.call_id for entry in _calls()] == [line.call_id.hex for line in lines]
    assert _calls()[2].method == "POST"


def test_a_file_is_read_on_where_it_grew_also_after_a_restart(metered, recorder) -> None:
    for round_ in range(3):
        recorder.append(_line(metered.id))
        recorder.append(_line(metered.id, resource=f"/{'x' * 100}/{round_}"))
        spool._remembered.clear()
        draining.drain_file(recorder.path)

    assert metered.recorded == 6
    assert [entry.resource for entry in _calls()].count("/rates/{id}") == 3


def test_a_record_that_is_not_complete_is_left_for_the_next_time(metered, recorder) -> None:
    recorder.append(_line(metered.id))
    whole = recorder.path.read_bytes()
    for size in range(len(whole)):
        recorder.path.write_bytes(whole[:size])
        draining.drain_file(recorder.path)
        assert metered.recorded == 0
    recorder.path.write_bytes(whole)
    draining.drain_file(recorder.path)
    assert metered.recorded == 1


def test_a_torn_record_is_left_out_and_those_behind_it_are_counted(metered, recorder) -> None:
    for _ in range(20):
        recorder.append(_line(metered.id))
    data = bytearray(recorder.path.read_bytes())
    chance = random.Random(7)
    torn = chance.sample(range(5, 20), 4)
    for number in torn:
        at = len(data) - (20 - number) * SIZE
        kind = number % 2
        data[at : at + SIZE] = b"\0" * SIZE if kind else chance.randbytes(SIZE)
    recorder.path.write_bytes(data)
    draining.drain_file(recorder.path)

    assert metered.recorded == 16
    db.session.rollback()
    assert db.session.query(UsageSpool).one().offset == len(data)


def test_a_full_disk_refuses_the_call_and_damages_nothing(
    metered, recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.append(_line(metered.id))
    write = os.write
    monkeypatch.setattr(recorders.os, "write", lambda file, data: write(file, data[:30]))
    with pytest.raises(OSError, match="part of a record"):
        recorder.append(_line(metered.id))
    monkeypatch.undo()
    recorder.append(_line(metered.id))
    draining.drain_file(recorder.path)

    assert metered.recorded == 2


def test_a_file_that_was_removed_is_noticed_by_its_writer(metered, recorder) -> None:
    recorder.append(_line(metered.id))
    recorder.path.unlink()
    recorder.append(_line(metered.id))
    assert draining.drain_all(recorder.path.parent) > 0
    assert metered.recorded == 1


def test_large_files_and_many_resources_go_into_further_files(
    metered, recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "MOST_ROUTES", 3)
    for number in range(10):
        recorder.append(_line(metered.id, resource=f"/r{number}"))
    folder = recorder.path.parent
    draining.drain_all(folder)

    assert len(list(folder.iterdir())) == 4
    assert metered.recorded == 10


def test_drained_files_are_kept_for_a_restore_and_removed_later(
    metered, recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.append(_line(metered.id))
    path = recorder.path
    os.utime(path, (0, 0))
    draining.drain_all(path.parent)
    assert path.exists(), "its writer lives"
    recorder.close()
    draining.drain_all(path.parent)
    assert not path.exists()
    assert metered.recorded == 1


def _write(folder: Path, number: int, pipe: Connection) -> None:
    """Write calls down for ever, and tell which are acknowledged."""
    recorder = Recorder(folder)
    while True:
        line = _line(number, resource=f"/r/{os.urandom(1)[0] % 7}x")
        recorder.append(line)
        os.write(pipe.fileno(), line.call_id.bytes)


def _drain(settings: Settings, folder: Path, pipe: Connection) -> None:
    """Drain for ever, in small portions."""
    spool.drain.__kwdefaults__["portion"] = SIZE * 50
    with create_app(settings).app_context():
        os.write(pipe.fileno(), b"r")
        while True:
            draining.drain_all(folder)


def _start(work: Callable[..., None], *args: object) -> tuple[BaseProcess, int]:
    # Forked, because a new interpreter takes seconds to load the portal.
    forks = multiprocessing.get_context("fork")
    here, there = forks.Pipe(duplex=False)
    child = forks.Process(target=work, args=(*args, there), daemon=True)
    child.start()
    there.close()
    return child, os.dup(here.fileno())


@pytest.mark.all_databases
def test_f23_killed_writers_and_killed_drainers_lose_and_double_nothing(
    metered, settings, tmp_path: Path
) -> None:
    """Every call that was acknowledged before SIGKILL is counted once: I6."""
    folder = tmp_path / "spool"
    other = settings.model_copy(update={"instance": tmp_path / "other"})
    db.session.rollback()
    db.engine.dispose()
    acknowledged: set[str] = set()
    rounds = max(KILLS // 3, 1)
    for _ in range(rounds):
        drainers = [_start(_drain, other, folder) for _ in range(2)]
        for _, pipe in drainers:
            assert os.read(pipe, 1) == b"r"
        writer, pipe = _start(_write, folder, metered.id)
        told = b"".join(os.read(pipe, 16) for _ in range(300))
        for child, _ in (*drainers, (writer, pipe)):
            child.kill()
            child.join()
        while rest := os.read(pipe, 65536):
            told += rest
        for _, each in (*drainers, (writer, pipe)):
            os.close(each)
        acknowledged |= {told[at : at + 16].hex() for at in range(0, len(told), 16)}
    draining.drain_all(folder)

    calls = [entry.call_id for entry in _calls()]
    assert len(calls) == len(set(calls)), "doubled"
    assert acknowledged <= set(calls), "lost"
    # What was written and not acknowledged yet is one call for each kill of a writer.
    assert len(calls) <= len(acknowledged) + rounds
    assert metered.recorded == len(calls)
