"""The log of an nginx that runs ``deploy/nginx-gateway.conf``: its lines, counted once."""

import json
import re
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import Connection

from portal import clock
from portal.cli.usage import usage as usage_commands
from portal.extensions import db
from portal.flows import draining
from portal.models import QuotaUse, Subscription
from portal.services import gateway_log, log_lines, usage

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "nginx-gateway.conf"
VARIABLE = re.compile(r"\$([a-z_]+)")
CONNECTIONS = count(1)


def log_format() -> str:
    """The format as nginx puts it together."""
    text = CONFIGURATION.read_text()
    found = re.search(r"log_format portal_usage escape=json\s+((?:'[^']*'\s*)+);", text)
    assert found is not None
    return "".join(re.findall(r"'([^']*)'", found[1]))


def line(row: Subscription, **changes: str) -> str:
    """A line as nginx writes it, whose variables have the values of a usual call."""
    values = {
        "msec": f"{clock.now().timestamp():.3f}",
        "portal_call": f"gateway-41-{next(CONNECTIONS)}-1-{clock.now().timestamp():.3f}",
        "portal_subscription": row.uuid,
        "portal_key_type": "PRODUCTION",
        "request_method": "GET",
        "uri": f"/{row.api.context}/1.0/rates",
        "upstream_status": "200",
        "request_length": "120",
        "bytes_sent": "392",
    } | changes
    return VARIABLE.sub(lambda found: values[found[1]], log_format()) + "\n"


@pytest.fixture
def row(factories) -> Subscription:
    return factories.subscription(created_at=clock.now() - timedelta(days=40))


@pytest.fixture
def run(app: Flask):
    def invoke(*arguments: object) -> str:
        result = app.test_cli_runner().invoke(usage_commands, [*map(str, arguments)])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    return invoke


def test_the_configuration_names_every_field_that_is_read(row) -> None:
    found = json.loads(line(row))
    assert found.keys() == log_lines.FIELDS
    (call,) = log_lines.parse(line(row).encode())
    assert (call.subscription, call.key_type, call.method) == (row.uuid, "PRODUCTION", "GET")
    assert (call.path, call.status, call.bytes) == (f"/{row.api.context}/1.0/rates", 200, 512)


@pytest.mark.parametrize(
    ("status", "read"),
    [
        ("502, 200", 200),
        ("502 : 304", 304),
        ("", 502),
        ("-", 502),
        ("504, -", 502),
        ("103", 502),
        ("000", 502),
        ("103, 200", 200),
    ],
)
def test_the_last_of_several_tries_is_the_answer_and_none_is_a_failure(
    row, status: str, read: int
) -> None:
    data = line(row, upstream_status=status).encode()
    assert [call.status for call in log_lines.parse(data)] == [read]
    assert [kind.status for kind in log_lines.totals(data)] == [read]
    nobody = line(row, upstream_status=status, portal_subscription="", portal_key_type="")
    assert not log_lines.totals(nobody.encode())


def test_a_call_that_no_back_end_answered_uses_the_quota_and_costs_nothing(
    factories, tmp_path: Path
) -> None:
    policy = factories.policy()
    policy.quota, policy.time_unit = 100, "days"
    row = factories.subscription(policy=factories.save(policy))
    log = tmp_path / "usage.log"
    now = f"{clock.now().timestamp():.3f}"
    log.write_text("".join(line(row, msec=now, upstream_status=each) for each in ("-", "", "200")))
    draining.drain_log(log)
    db.session.rollback()
    found = usage.summary(row.subscription_id, None, None)
    assert (found.total, found.counted) == (3, 1)
    assert [use.used for use in db.session.query(QuotaUse)] == [3]


@pytest.mark.parametrize(
    "broken", ['{"at":1', "[1,2]", "null", '{"at":1},{"at":2}', "1,2", "\\", '{"sub":{}}']
)
def test_a_line_that_is_no_call_is_left_out_and_those_around_it_count(row, broken: str) -> None:
    text = line(row) + broken + "\n" + line(row)
    assert len(list(log_lines.parse(text.encode()))) == 2


#: What nginx writes of /%FF, /%ED%A0%80, /%2500, /%C2%85 and /%00 as a caller may send them.
HOSTILE = [b"\xff", b"\xed\xa0\x80", b"%00", b"\xc2\x85", b"\\u0000"]


@pytest.mark.all_databases
@pytest.mark.parametrize("path", HOSTILE, ids=repr)
def test_no_path_that_a_caller_makes_up_is_free_or_stops_the_counting(
    row, tmp_path: Path, path: bytes
) -> None:
    log = tmp_path / "usage.log"
    odd = line(row).encode().replace(b"/rates", b"/rates/" + path)
    log.write_bytes(line(row).encode() + odd + line(row).encode())
    draining.drain_log(log)
    db.session.rollback()
    assert gateway_log.is_whole(db.session.connection(), log)
    assert usage.summary(row.subscription_id, None, None).total == 3
    found = [each.resource for each in db.session.query(usage.UsageBucket)]
    assert sorted(found)[0] == "/rates"
    assert sorted(found)[1].startswith("/rates/\ufffd")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("msec", "1e999"),
        ("msec", "-1"),
        ("request_length", "9" * 30),
        ("request_length", "-9"),
        ("upstream_status", "99999999999"),
        ("portal_subscription", "\\ud800"),
        ("request_method", "\\u0000"),
    ],
)
def test_what_no_call_can_be_is_left_out(row, name: str, value: str) -> None:
    text = line(row) + line(row, **{name: value}) + line(row)
    assert len(list(log_lines.parse(text.encode()))) == 2


def test_a_log_that_cannot_be_counted_holds_up_no_other(row, tmp_path: Path, monkeypatch) -> None:
    log, bad = tmp_path / "usage.log", tmp_path / "usage.log.1"
    for path in (log, bad):
        path.write_text(line(row))
    drain = gateway_log.drain

    def break_off(connection: Connection, path: Path) -> int:
        if path == bad:
            raise ValueError("no")
        return drain(connection, path)

    with monkeypatch.context() as patch:
        patch.setattr(gateway_log, "drain", break_off)
        for _ in range(2):
            draining.drain_log(log)
    db.session.rollback()
    assert usage.summary(row.subscription_id, None, None).total == 1
    draining.drain_log(log)
    db.session.rollback()
    assert usage.summary(row.subscription_id, None, None).total == 2


@pytest.mark.all_databases
def test_calls_of_many_count_against_the_limits_whose_window_runs(
    factories, app: Flask, tmp_path: Path
) -> None:
    policy = factories.policy()
    policy.quota, policy.time_unit = 100, "days"
    policy.rate_limit_count, policy.rate_limit_time_unit = 50, "min"
    api = factories.api(None, factories.save(policy))
    rows = [factories.subscription(api=api, policy=policy) for _ in range(3)]
    log = tmp_path / "usage.log"
    yesterday = f"{(clock.now() - timedelta(days=1)).timestamp():.3f}"
    with log.open("w") as file:
        for number, row in enumerate(rows):
            file.writelines(line(row) for _ in range(number + 1))
        file.write(line(rows[0], msec=yesterday))
        file.write(line(rows[0], portal_subscription=str(uuid4())))
    for _ in range(2):
        draining.drain_log(log)
        with log.open("a") as file:
            file.write(line(rows[2]))

    db.session.rollback()
    used = db.session.query(QuotaUse).order_by(QuotaUse.subscription_id, QuotaUse.kind)
    # The second time a new minute may have begun, of which nothing else is known.
    assert [each.used for each in used if each.kind == "quota"] == [1, 2, 4]
    assert [usage.summary(row.subscription_id, None, None).total for row in rows] == [2, 2, 4]


def test_tail_says_what_it_could_not_count(
    app: Flask, row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tail(log: Path) -> tuple[int, str]:
        result = app.test_cli_runner().invoke(usage_commands, ["tail", str(log)])
        return result.exit_code, result.output

    log = tmp_path / "usage.log"
    assert tail(log) == (1, f"Error: There is no log {log}.\n")
    log.with_name("usage.log.1").write_text(line(row))
    assert tail(log)[0] == 0
    log.write_text(line(row))
    drain = gateway_log.drain

    def broken(connection: Connection, path: Path) -> int:
        if path == log:
            raise PermissionError(path)
        return drain(connection, path)

    monkeypatch.setattr(gateway_log, "drain", broken)
    log.with_name("usage.log.2").write_text(line(row))
    code, output = tail(log)
    assert (code, "Error: usage.log cannot be counted" in output) == (1, True)
    assert usage.summary(row.subscription_id, None, None).counted == 2


def test_tail_and_import_count_the_same_log_once(run, row, tmp_path: Path) -> None:
    log = tmp_path / "usage.log"
    log.write_text("".join(line(row) for _ in range(3)))
    assert "3 calls taken in, 0 were known, 0 refused." in run("import", log)
    run("tail", log)
    with log.open("a") as file:
        file.write(line(row))
    run("tail", log)
    assert json.loads(run("import", log, "--json")) == {
        "accepted": 0,
        "duplicates": 4,
        "refused": [],
    }
    assert usage.summary(row.subscription_id, None, None).counted == 4


def test_a_log_that_grows_while_it_is_counted_is_read_once_each_time(
    app: Flask, row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "usage.log"
    log.write_text("".join(line(row) for _ in range(3)))
    drains = []
    drain = gateway_log.drain

    def growing(*given) -> int:
        drains.append(drain(*given))
        with log.open("a") as file:
            file.write(line(row))
        return drains[-1]

    with monkeypatch.context() as patch:
        patch.setattr(gateway_log, "drain", growing)
        draining.drain_log(log)
    assert len(drains) == 1
    assert usage.summary(row.subscription_id, None, None).total == 3
    draining.drain_log(log)
    db.session.rollback()
    assert usage.summary(row.subscription_id, None, None).total == 4


def test_a_log_of_many_portions_is_read_to_its_end(
    app: Flask, row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "usage.log"
    log.write_text("".join(line(row) for _ in range(20)))
    monkeypatch.setattr(gateway_log, "PORTION", 1000)
    monkeypatch.setattr(gateway_log, "LONGEST_LINE", 900)
    drain = gateway_log.drain
    monkeypatch.setattr(gateway_log, "drain", lambda *given: drain(*given, portion=1000))

    assert draining.drain_log(log) == log.stat().st_size
    assert usage.summary(row.subscription_id, None, None).total == 20


def test_a_rotated_log_is_read_that_is_as_long_as_the_one_before_it(
    app: Flask, row: Subscription, tmp_path: Path
) -> None:
    log = tmp_path / "usage.log"
    older = [tmp_path / f"usage.log.{number}" for number in (1, 2)]
    lines = [line(row, portal_call=f"call-{number:06}") for number in range(41)]
    log.write_text("".join(lines[:20]))
    log.rename(older[0])
    draining.drain_log(log)
    log.write_text("".join(lines[20:30]))
    draining.drain_log(log)
    with log.open("a") as file:
        file.writelines(lines[30:40])
    older[0].rename(older[1])
    log.rename(older[0])
    log.write_text(lines[40])
    assert older[0].stat().st_size == older[1].stat().st_size
    for _ in range(2):
        draining.drain_log(log)

    db.session.rollback()
    assert usage.summary(row.subscription_id, None, None).counted == 41
