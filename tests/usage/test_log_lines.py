"""What many lines of nginx's log say at once is what each says by itself."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal import clock
from portal.extensions import db
from portal.flows import draining
from portal.models import KeyType, QuotaUse, UsageSegment
from portal.services import ledger, log_lines, usage
from portal.services.ledger import Group
from portal.services.log_lines import Calls, Kind
from tests.usage.conftest import MONTH, NOW

_ODD = ["", "-", "502, 200", "200 : 304", "20", "2000", "abc", "٢٠٠"]
_LINES = st.fixed_dictionaries(
    {
        "at": st.sampled_from(
            ["1779278400.000", "1779278400.999", "0.5", "1e3", "01.000", "7.0000"]
        ),
        "id": st.text(max_size=3) | st.just("f" * 32),
        "sub": st.sampled_from(["one", "two"]) | st.text(max_size=3),
        "key": st.sampled_from([*map(str, KeyType), "OTHER"]),
        "method": st.sampled_from(["GET", "POST", "-", "PROPFINDALLTHINGS"]),
        "path": st.sampled_from(["/a", "/b/c d"]) | st.text(max_size=5),
        "status": st.sampled_from(["200", "404"]) | st.sampled_from(_ODD),
        "in": st.sampled_from(
            ["0", "120", "007", "-1", "1.5", "9" * 12, f"{2**40}", f"{2**40 + 1}"]
        ),
        "out": st.sampled_from(["0", "99", '"9"']),
    }
)


def _written(values: dict[str, str], *, ascii_: bool) -> bytes:
    text = {
        name: json.dumps(value, ensure_ascii=ascii_)
        for name, value in values.items()
        if name not in ("at", "in", "out")
    }
    inside = ",".join(f'"{name}":{text.get(name, value)}' for name, value in values.items())
    return f"{{{inside}}}".encode(errors="surrogatepass")


def _by_themselves(data: bytes) -> Calls:
    found: Calls = {}
    for line in log_lines.parse(data):
        found.setdefault(line.kind, []).append((line.at, line.bytes))
    return found


@given(
    lines=st.lists(_LINES, max_size=8),
    ascii_=st.booleans(),
    broken=st.binary(max_size=9),
    at_a_time=st.sampled_from([1, 300, 1 << 16]),
)
@example(lines=[], ascii_=True, broken=b'x{"at":1.000', at_a_time=1)
def test_many_lines_say_what_each_says(
    lines: list[dict[str, str]], ascii_: bool, broken: bytes, at_a_time: int
) -> None:
    some = [_written(each, ascii_=ascii_) for each in lines]
    for part in (broken.replace(b"\n", b"").replace(b"\r", b""), b"x" + b"".join(some[:1])):
        some.insert(len(some) // 2, part)
    data = b"".join(each + b"\n" for each in some)

    expected = _by_themselves(data)
    with patch.object(log_lines, "_SOME", at_a_time):
        found, totals = log_lines.calls(data), log_lines.totals(data)
    assert found.keys() == expected.keys()
    assert {kind: sorted(calls) for kind, calls in found.items()} == {
        kind: sorted(calls) for kind, calls in expected.items()
    }
    assert totals == {kind: _added(some) for kind, some in expected.items()}


def _added(calls: list[tuple[int, int]]) -> Group:
    times = [at for at, _ in calls]
    return Group(len(calls), sum(size for _, size in calls), min(times), max(times))


def test_the_usual_line_is_read_without_json(monkeypatch) -> None:
    line = _written(
        {
            "at": "1779278400.250",
            "id": "0" * 32,
            "sub": "one",
            "key": "PRODUCTION",
            "method": "GET",
            "path": "/rates/1.0/x",
            "status": "200",
            "in": "120",
            "out": "392",
        },
        ascii_=True,
    )
    monkeypatch.setattr(log_lines, "_objects", lambda data: pytest.fail("as JSON") if data else [])
    kind = Kind("one", KeyType.PRODUCTION, "GET", "/rates/1.0/x", 200)
    at = 1_779_278_400_250
    assert log_lines.calls((line + b"\n") * 3) == {kind: [(at, 512)] * 3}
    assert log_lines.totals((line + b"\n") * 3) == {kind: Group(3, 1536, at, at)}


def test_a_log_is_cut_where_an_hour_a_period_and_a_window_end(
    metered, travel, tmp_path: Path
) -> None:
    travel.shift(90)
    ends = ledger.millis(MONTH[0])
    hour = ledger.millis(NOW) // ledger.HOUR_MS * ledger.HOUR_MS
    log = tmp_path / "usage.log"
    moments = [ends - 1, ends, hour - 1, hour, hour, ledger.millis(clock.now())]
    for at in moments:
        line = {
            "at": f"{at // 1000}.{at % 1000:03d}",
            "id": f"{at}",
            "sub": metered.uuid,
            "key": "PRODUCTION",
            "method": "GET",
            "path": "/x",
            "status": "200",
            "in": "1",
            "out": "1",
        }
        with log.open("ab") as file:
            file.write(_written(line, ascii_=True) + b"\n")

    draining.drain_log(log)
    db.session.rollback()
    assert usage.summary(metered.id, None, None).total == len(moments)
    segment = db.session.query(UsageSegment).one()
    assert (segment.calls, segment.first_at, segment.last_at) == (6, ends - 1, moments[-1])
    rows = db.session.query(usage.UsageBucket).order_by(usage.UsageBucket.starts_at)
    start = ends // 1000
    assert [(row.period_start == start, row.calls) for row in rows] == [
        (False, 1), (True, 1), (True, 1), (True, 3)
    ]  # fmt: skip
    (used,) = [each.used for each in db.session.query(QuotaUse) if each.kind == "quota"]
    assert used == 1
