"""``flask usage calls``: the single calls behind a count, whoever wrote them down."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask

from portal.cli.usage import usage as usage_commands
from portal.extensions import db
from portal.flows import draining
from portal.gateway.recorder import Line, Recorder
from portal.models import KeyType, Subscription, UsageEvent
from portal.services import ledger, records
from portal.web.unit_of_work import unit_of_work
from tests.usage.conftest import NOW
from tests.usage.test_gateway_log import line


@pytest.fixture
def run(app: Flask):
    def invoke(*arguments: object, expect: int = 0) -> str:
        result = app.test_cli_runner().invoke(usage_commands, ["calls", *map(str, arguments)])
        assert result.exit_code == expect, (result.output, result.exception)
        return result.output

    return invoke


def _table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _answered(recorder: Recorder, subscription_id: int, **more: object) -> str:
    values = {
        "call_id": uuid4(),
        "subscription_id": subscription_id,
        "key_type": KeyType.PRODUCTION,
        "method": "GET",
        "resource": "/rates/{id}",
        "status": 200,
        "at": ledger.millis(NOW),
        "bytes": 10,
    } | more
    recorder.append(Line(**values))
    return str(values["call_id"].hex)


@pytest.fixture
def spooled(metered, tmp_path: Path):
    """Calls of the portal's own gateway, among those of somebody else."""
    recorder = Recorder(tmp_path / "spool")
    ids = [
        _answered(recorder, metered.id, at=ledger.millis(NOW) + 250),
        _answered(recorder, metered.id, key_type=KeyType.SANDBOX),
        _answered(recorder, metered.id, status=404),
    ]
    _answered(recorder, metered.id + 1000)
    recorder.append(
        Line(
            call_id=uuid4(),
            subscription_id=metered.id,
            key_type=KeyType.PRODUCTION,
            method="GET",
            resource="/rates/{id}",
            status=200,
            at=ledger.millis(NOW),
            bytes=990,
        ),
        kind=records.WEIGHT,
    )
    recorder.close()
    draining.drain_all(tmp_path / "spool")
    return ids


@pytest.mark.all_databases
def test_calls_of_every_kind_are_shown_once_with_what_counts(
    run, metered, spooled, tmp_path: Path
) -> None:
    row = db.session.get_one(Subscription, metered.id)
    log = tmp_path / "usage.log"
    log.write_text(
        line(row) + line(row, upstream_status="500") + line(row, portal_subscription="x")
    )
    draining.drain_log(log)
    metered.call(2)
    found = _table(run(metered.uuid, "--until", f"{NOW + timedelta(days=1):%Y-%m-%d}"))

    assert [each["id"] for each in found[:3]] == spooled
    assert [each["source"] for each in found] == ["gateway"] * 3 + ["nginx"] * 2 + ["gateway"] * 2
    assert [each["counted"] for each in found] == ["True", "False", "False", "True", "False"] + [
        "True"
    ] * 2
    assert found[0]["at"] == f"{NOW:%Y-%m-%dT%H:%M:%S}.250Z"
    assert found[3]["resource"] == "/rates"


def test_the_calls_of_a_time_are_as_many_as_its_count(run, metered, spooled) -> None:
    second = timedelta(seconds=1)

    def asked(start, end) -> int:
        written = [f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in (start, end)]
        out = run(metered.uuid, "--since", written[0], "--until", written[1], "--json")
        found = [json.loads(each) for each in out.splitlines()]
        return sum(each["counted"] for each in found)

    assert asked(NOW, NOW + second) == 1
    assert asked(NOW - second, NOW) == 0
    assert asked(NOW + second, NOW + 2 * second) == 0


def test_what_a_source_wrote_is_no_formula(run, metered) -> None:
    metered.call(at=NOW - timedelta(seconds=5))
    with unit_of_work():
        event = db.session.query(UsageEvent).one()
        event.source, event.event_id = "=1+1", "@x"
    (found,) = _table(run(metered.uuid))
    assert (found["source"], found["id"], found["bytes"]) == ("'=1+1", "'@x", "")


def test_a_subscription_that_is_not_there_is_said(run) -> None:
    assert "There is no subscription nobody." in run("nobody", expect=1)
