"""Many records at once: what is damaged is found, sums are exact, and evidence is kept whole."""

import struct
import zlib
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from threading import active_count
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from portal.extensions import db
from portal.flows import draining
from portal.gateway.recorder import Line, Recorder
from portal.models import KeyType, UsageBucket, UsageSegment
from portal.services import call_ids, evidence, ledger, records, spool
from portal.services.ledger import HOUR_MS
from portal.services.records import SIZE
from portal.web.unit_of_work import unit_of_work
from tests.usage.conftest import NOW

AT = ledger.millis(NOW)
CALLS = st.tuples(
    st.sampled_from([records.CALL, records.CALL, records.WEIGHT]),
    st.integers(0, 1),
    st.sampled_from([200, 404]),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(AT - HOUR_MS, AT + HOUR_MS) | st.integers(AT, AT + 3),
    st.integers(0, 2**40),
    st.binary(min_size=16, max_size=16),
)
ROUTES = {1: ("GET", "/a"), 2: ("POST", "/b")}


def _records(calls: list[tuple]) -> bytes:
    return b"".join(records.call_record(*call) for call in calls)


def _one_by_one(data: bytes) -> bytes:
    pieces = [data[at : at + SIZE] for at in range(0, len(data), SIZE)]
    return b"".join(piece for piece in pieces if spool._is_sound(piece))


@given(calls=st.lists(CALLS, max_size=30))
def test_sound_records_have_one_checksum_together(calls: list[tuple]) -> None:
    data = _records(calls)

    assert spool.zlib.crc32(data) == spool._sum_of(len(calls))
    assert spool._sound(data) == (data, len(data))


@given(
    calls=st.lists(CALLS, min_size=1, max_size=30),
    damages=st.lists(
        st.tuples(st.integers(0, 2**20), st.integers(1, 200), st.sampled_from("fzsr")),
        min_size=1,
        max_size=5,
    ),
)
def test_damaged_records_are_found_among_many(calls: list[tuple], damages: list[tuple]) -> None:
    data = bytearray(_records(calls))
    for where, length, how in damages:
        at = where % len(data)
        some = slice(at, at + length)
        if how == "f":
            data[at] ^= length
        elif how == "z":
            data[some] = bytes(len(data[some]))
        elif how == "s":
            at -= at % SIZE
            data[at : at + SIZE], data[:SIZE] = data[:SIZE], data[at : at + SIZE]
        else:
            data[some] = data[some][::-1]
    # What happens to begin like a route is another story, told in test_spool.
    data[::SIZE] = bytes(records.CALL if each == records.ROUTE else each for each in data[::SIZE])

    assert spool._sound(bytes(data)) == (_one_by_one(bytes(data)), len(data))


def test_equal_damages_do_not_make_up_for_each_other() -> None:
    data = bytearray(_records([(1, 0, 200, 1, 1, AT, 5, bytes(16))] * 50))
    for one in range(0, 50, 7):
        for other in range(one + 1, 50):
            twice = bytearray(data)
            for record in (one, other):
                twice[record * SIZE + 21] ^= 4
            assert len(spool._sound(bytes(twice))[0]) == 48 * SIZE


@given(calls=st.lists(CALLS, max_size=40))
def test_sums_are_those_of_each_call_by_itself(calls: list[tuple]) -> None:
    expected: dict[ledger.Alike, ledger.Group] = {}
    for kind, key, status, sub, route, at, size, _ in calls:
        alike = ledger.Alike(sub, at // HOUR_MS, *ROUTES[route], status, records.KEYS[key])
        group = expected.setdefault(alike, ledger.Group(0, 0, at, at))
        group.add(at, size)
        group.calls -= 0 if kind == records.CALL else 1
    times = [call[5] for call in calls]

    found = spool._grouped(_records(calls), dict(ROUTES))
    assert found == (expected, min(times, default=0), max(times, default=0))


@given(before=st.lists(CALLS, max_size=5), calls=st.lists(CALLS, max_size=20))
def test_what_is_packed_comes_out_as_it_was(before: list[tuple], calls: list[tuple]) -> None:
    names = b"".join(records.route_record(number, *name) for number, name in ROUTES.items())
    parts = [memoryview(_records(some)) for some in (before, calls)]

    assert evidence.unpacked(evidence.packed(names, parts)) == b"".join((names, *parts))


def test_evidence_is_small_however_many_routes_there_are(metered, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "spool")
    for number in range(6_000):
        recorder.append(
            Line(
                call_id=call_ids.new(),
                subscription_id=metered.id,
                key_type=KeyType.PRODUCTION,
                method="GET",
                # The first call of each route stands alone between two names.
                resource=f"/routes/{number % 300 if number < 4_000 else 7}",
                status=200,
                at=AT + number,
                bytes=500 + number % 3,
            )
        )
        if number == 4_000:
            draining.drain_file(recorder.path)
    recorder.close()
    draining.drain_file(recorder.path)
    many, few = db.session.query(UsageSegment).order_by(UsageSegment.segment_id)

    assert len(many.records) / many.calls < 6, "with the names of 300 routes"
    assert len(few.records) / few.calls < 3
    found = [each.resource for each in spool.entries(evidence.unpacked(few.records))]
    assert found == ["/routes/7"] * few.calls


@pytest.mark.parametrize("is_random", [True, False])
def test_evidence_is_small_where_ids_follow_one_another(*, is_random: bool) -> None:
    ids = (uuid4() if is_random else call_ids.new() for _ in range(20_000))
    calls = [
        (records.CALL, 0, 200, number % 7, 1, AT + number // 3, 500, each.bytes)
        for number, each in enumerate(ids)
    ]
    data = _records(calls)
    packed = evidence.packed(b"", [memoryview(data)])

    assert evidence.unpacked(packed) == data
    # Sixteen bytes of an id that is random stay sixteen bytes.
    assert (len(packed) / len(calls) > 15) is is_random
    assert len(packed) / len(calls) < (18 if is_random else 1)


def test_evidence_of_before_is_read() -> None:
    # Three calls and their route, as they were kept until evidence left checksums out.
    data = records.route_record(1, *ROUTES[1]) + _records(
        [(records.CALL, 0, 200, 3, 1, AT + number, 5, bytes(16)) for number in range(3)]
    )
    columns = [data[at::SIZE] for at in range(SIZE)]
    alike = zlib.compress(b"".join(columns[:28]), 1)
    kept = struct.pack("<II", len(data) // SIZE, len(alike)) + alike + b"".join(columns[28:])

    assert evidence.unpacked(kept) == data


def test_a_bucket_keeps_the_digest_that_it_always_had() -> None:
    alike = ledger.Alike(7, AT // HOUR_MS, "GET", "/it's/{id}", 200, KeyType.PRODUCTION)
    owner = type("Owner", (), {"metered": True, "billed_from": 0, "trial_end": None})
    group = ledger.Group(2, 3, AT, AT)
    entry = ledger._Entry(alike, group, (AT // 1000 - 9 * 86_400, AT // 1000 + 9), owner)
    place = (7, entry.start, entry.starts_at, *alike[2:], 5)

    digest = blake2b(repr(place).encode(), digest_size=16).hexdigest()
    assert ledger._Bucket(entry, 5).digest == digest


def _many(path: Path, subscription_id: int, count: int) -> bytes:
    calls = [
        (records.CALL, 0, 200, subscription_id, 1, AT + number, 5, struct.pack("<QQ", number, 1))
        for number in range(count)
    ]
    data = records.route_record(1, *ROUTES[1]) + _records(calls)
    path.write_bytes(data)
    return data


@pytest.mark.all_databases
def test_many_records_are_compressed_beside_the_counting(metered, tmp_path: Path) -> None:
    path = tmp_path / "many.spool"
    count = spool._MANY + 5
    data = _many(path, metered.id, count)

    assert draining.drain_file(path) == len(data)
    assert metered.recorded == count
    segment = db.session.query(UsageSegment).one()
    found = Counter(entry.call_id for entry in spool.entries(evidence.unpacked(segment.records)))
    assert (len(found), max(found.values()), segment.calls) == (count, 1, count)


def test_what_fails_beside_the_compressing_leaves_nothing(
    metered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.spool"
    data = _many(path, metered.id, spool._MANY + 5)
    before = active_count()

    def fail(*_given: object) -> None:
        raise RuntimeError("No.")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "count", fail)
        with pytest.raises(RuntimeError):
            draining.drain_file(path)
    assert active_count() == before
    assert db.session.scalar(sa.select(sa.func.count()).select_from(UsageBucket)) == 0
    db.session.rollback()
    assert draining.drain_file(path) == len(data)


@pytest.mark.all_databases
def test_buckets_that_are_there_are_added_to(metered) -> None:
    some = [
        ledger.Alike(metered.id, AT // HOUR_MS, "GET", f"/{number % 5}", 200 + number // 5 * 204,
                     KeyType.PRODUCTION)
        for number in range(10)
    ]  # fmt: skip
    for calls in (3, 4):
        groups = {alike: ledger.Group(calls, 10 * calls, AT, AT) for alike in some[: 7 + calls]}
        with unit_of_work():
            ledger.count(db.session.connection(), groups, ledger.splitter([]))

    rows = db.session.query(UsageBucket).order_by(UsageBucket.status, UsageBucket.resource)
    found = [(row.resource, row.status, row.calls, row.bytes) for row in rows]
    assert found == [(alike.resource, alike.status, 7, 70) for alike in some]
