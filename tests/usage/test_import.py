"""``flask usage import``: access logs of nginx and tables, each call once."""

import json
from datetime import timedelta

import pytest

from portal import clock
from portal.cli.usage_import import import_file
from portal.services import usage


@pytest.fixture
def row(factories):
    return factories.subscription(created_at=clock.now() - timedelta(days=40))


@pytest.fixture
def run(app):
    def invoke(*arguments, expect=0):
        result = app.test_cli_runner().invoke(import_file, [*map(str, arguments)])
        assert result.exit_code == expect, (result.output, result.exception)
        return result.output

    return invoke


def logged(row, number, **changes):
    """A line of a log with the names of WSO2's events: nginx writes everything as text."""
    line = {
        "id": f"request-{number}",
        "time": f"{clock.now().timestamp() - 60:.3f}",
        "subscriptionId": row.uuid,
        "keyType": "PRODUCTION",
        "apiMethod": "GET",
        "apiResourceTemplate": "/rates",
        "targetResponseCode": "200",
        "bytes": "512",
    }
    return json.dumps(line | changes)


def counted(row):
    return usage.summary(row.subscription_id, None, None)


@pytest.mark.all_databases
def test_a_log_counts_once_however_often_it_is_read(run, row, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("\n".join(logged(row, number) for number in range(1_200)) + "\n\n")
    assert "1,200 calls taken in, 0 were known, 0 refused." in run(log)
    with log.open("a") as more:
        more.write(logged(row, 1_200) + "\n")
    assert "1 calls taken in, 1,200 were known, 0 refused." in run(log)
    assert counted(row).counted == 1_201
    assert "0 calls taken in, 1,201 were known" in run(log)


def test_the_last_back_end_that_nginx_tried_decides_and_a_dash_is_no_answer(run, row, tmp_path):
    log = tmp_path / "access.log"
    statuses = ["502, 200", "200, 502", "-", "404", "302"]
    lines = [logged(row, n, targetResponseCode=status) for n, status in enumerate(statuses)]
    log.write_text("\n".join(lines))
    run(log)
    found = counted(row)
    assert (found.counted, sum(item.calls for item in found.not_counted)) == (2, 3)


def test_a_table_is_taken_in_by_its_heading(run, row, tmp_path):
    at = (clock.now() - timedelta(minutes=5)).isoformat()
    table = tmp_path / "calls.csv"
    api, application = row.api.api_uuid, row.application.uuid
    table.write_text(
        "id,time,apiId,applicationId,keyType,apiMethod,apiResourceTemplate,targetResponseCode\n"
        f"1,{at},{api},{application},PRODUCTION,GET,/a,200\n"
        f'2,{at},{api},{application},SANDBOX,GET,"/a,b",200\n'
    )
    assert "2 calls taken in" in run(table)
    assert counted(row).counted == 1


def test_lines_without_an_id_are_told_apart_and_known_again(run, row, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("\n".join([logged(row, 1, id="-", time="1.0")] * 2).replace("1.0", recent()))
    assert "2 calls taken in" in run(log)
    assert "0 calls taken in, 2 were known" in run(log)


def recent():
    return f"{clock.now().timestamp() - 60:.3f}"


def test_what_is_refused_is_told_with_its_line_and_the_rest_counts(run, row, tmp_path):
    log = tmp_path / "access.log"
    lines = [logged(row, 1), "not json", logged(row, 2, subscriptionId="x"), logged(row, 3)]
    log.write_text("\n".join(lines))
    told = json.loads(run(log, "--json", expect=1))
    assert (told["accepted"], told["duplicates"]) == (2, 0)
    assert told["refused"] == [
        {"line": 2, "reason": "The line cannot be read."},
        {"line": 3, "reason": "subscriptionId is unknown."},
    ]
    assert "Line 2: The line cannot be read." in run(log, expect=1)


def test_a_table_without_names_and_a_tenant_that_is_not_there_are_refused(run, row, tmp_path):
    table = tmp_path / "calls.csv"
    table.write_text("1,2,3\n4,5,6\n")
    assert "The first line has to name the columns" in run(table, expect=1)
    assert "There is no tenant nobody" in run(table, "--tenant", "nobody", expect=1)
