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


def table_of(row, *lines, more=""):
    """A table with a line for each resource."""
    at = (clock.now() - timedelta(minutes=5)).replace(microsecond=0).isoformat()
    heading = f"time,subscriptionId,apiMethod,targetResponseCode,apiResourceTemplate{more}\n"
    return heading + "".join(f"{at},{row.uuid},GET,200,{line}\n" for line in lines)


def test_a_mended_grown_or_renamed_file_without_ids_counts_once(run, row, tmp_path):
    table = tmp_path / "calls.csv"
    table.write_text(table_of(row, "/a", "/a", '"/b', "/c"))
    assert "3 calls taken in, 0 were known, 1 refused." in run(table, expect=1)
    other = tmp_path / "calls-1.csv"
    other.write_text(table.read_text().replace('"/b', "/b") + table_of(row, "/d").split("\n")[1])
    assert "2 calls taken in, 3 were known, 0 refused." in run(other)
    assert counted(row).counted == 5


def test_equal_lines_of_two_gateways_count_each_under_a_source_of_its_own(run, row, tmp_path):
    for name in ("one", "two"):
        table = tmp_path / f"{name}.csv"
        table.write_text(table_of(row, "/a"))
        assert "1 calls taken in" in run(table, "--source", name)
    assert counted(row).counted == 2


def test_a_quotation_mark_that_nothing_closes_swallows_its_own_line_only(run, row, tmp_path):
    table = tmp_path / "calls.csv"
    paths = [f"/{number}" for number in range(1_200)]
    paths[100], paths[1_100] = '"/100', '"/1"100'
    table.write_text(table_of(row, *paths))
    told = json.loads(run(table, "--json", expect=1))
    assert told["accepted"] == counted(row).counted == 1_198
    assert [item["line"] for item in told["refused"]] == [102, 1_102]


@pytest.mark.parametrize(
    "odd",
    [
        '"/x\ry"',
        "/x\r/y",
        "/x,1,1",
        "/x," + "9" * 5_000,
        "/x,٥",
        "/" + "x" * 200_000,
        '"' + "x" * 200_000,
    ],
)
def test_a_line_of_a_table_that_is_odd_is_refused_by_itself(run, row, tmp_path, odd):
    table = tmp_path / "calls.csv"
    table.write_text(table_of(row, "/a,1", odd, "/b,1", more=",bytes"), newline="")
    told = json.loads(run(table, "--json", expect=1))
    assert (told["accepted"], [item["line"] for item in told["refused"]]) == (2, [3])


def test_a_line_that_ends_before_its_status_is_no_failed_call(run, row, tmp_path):
    table = tmp_path / "calls.csv"
    table.write_text(table_of(row, "/a") + f"{clock.now().isoformat()},{row.uuid},GET\n")
    told = json.loads(run(table, "--json", expect=1))
    assert told["refused"] == [{"line": 3, "reason": "The line cannot be read."}]
    assert counted(row).total == 1


@pytest.mark.parametrize(
    "odd",
    [
        "[" * 60_000,
        '{"time":' * 5_000,
        {"bytes": "9" * 5_000},
        {"bytes": json.loads("[" * 900 + "]" * 900)},
        {"targetResponseCode": json.loads("[" * 900 + "]" * 900)},
        {"targetResponseCode": {}},
        {"time": json.loads("[" * 900 + "]" * 900)},
        {"time": "9" * 5_000},
        {"id": [[]]},
        {"apiResourceTemplate": "x" * 200_000},
    ],
)
def test_a_line_of_a_log_that_is_odd_is_refused_by_itself(run, row, tmp_path, odd):
    log = tmp_path / "access.log"
    lines = [logged(row, 1), odd if isinstance(odd, str) else logged(row, 2, **odd), logged(row, 3)]
    log.write_text("\n".join(lines))
    told = json.loads(run(log, "--json", expect=1))
    assert (told["accepted"], [item["line"] for item in told["refused"]]) == (2, [2])


def test_the_mark_before_utf_8_and_a_name_in_capitals_change_nothing(run, row, tmp_path):
    table, log = tmp_path / "CALLS.CSV", tmp_path / "access.log"
    table.write_text(table_of(row, "/a"), encoding="utf-8-sig")
    log.write_text(logged(row, 1), encoding="utf-8-sig")
    assert "1 calls taken in" in run(table)
    assert "1 calls taken in" in run(log)
    table.write_text(table_of(row, "/a"))
    assert "0 calls taken in, 1 were known" in run(table)


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
