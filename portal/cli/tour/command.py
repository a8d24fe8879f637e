"""Starts a demo for the tour, takes its steps, and says how each went."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from portal.cli.demo import database
from portal.cli.demo.options import Options
from portal.cli.demo.stack import Demo, running
from portal.cli.processes import Servers, free_ports
from portal.cli.tour import rest_buying, rest_steps
from portal.cli.tour.steps import STEPS
from portal.cli.tour.walk import Outcome, Walk, take

LOG_LINES = 20
#: The same job without a page, but for Stripe's, where a person pays.
REST_STEPS = (*rest_steps.STEPS, *rest_buying.STEPS)


def run(*, as_json: bool, rest: bool) -> None:
    """Walk the tour; exits with 1 if a step failed.

    :param rest: do the job over the REST APIs instead of the pages

    :raise portal.cli.processes.StartError: if the demo can't be started
    """
    with fresh_demo() as demo:
        walk = Walk(demo)
        click.echo(f"Portal {demo.options.portal}, sandbox {demo.options.sandbox}", err=as_json)
        take(walk, REST_STEPS if rest else STEPS, lambda outcome: _report(outcome, as_json))
        if not all(outcome.passed for outcome in walk.outcomes):
            click.echo(last_words(demo.servers), err=True)
    _conclude(walk, as_json)


@contextmanager
def fresh_demo() -> Iterator[Demo]:
    """Run a demo in a folder and a database that are gone, or empty again, afterwards.

    :raise portal.cli.processes.StartError: if DATABASE_URL names a database that is not empty
    """
    url = database.usable(os.environ.get("DATABASE_URL", "").strip())
    if url:
        database.require_empty(url, "the tour uses only an empty one. Name another, or none.")
    with tempfile.TemporaryDirectory(prefix="portal-tour-") as folder:
        port, sandbox_port = free_ports(2)
        options = Options(
            port=port, sandbox_port=sandbox_port, folder=Path(folder), database_url=url
        )
        try:
            with running(options) as demo:
                yield demo
        finally:
            if url:
                database.drop(url)


def _report(outcome: Outcome, as_json: bool) -> None:
    mark = "ok  " if outcome.passed else "FAIL"
    click.echo(f"{mark}  {outcome.name}: {outcome.seen}", err=as_json)


def _conclude(walk: Walk, as_json: bool) -> None:
    passed = sum(outcome.passed for outcome in walk.outcomes)
    failed = len(walk.outcomes) - passed
    if walk.events:
        click.echo(table(walk.events), err=as_json)
    if as_json:
        click.echo(json.dumps(as_object(walk, passed, failed)))
    click.echo(f"tour: {passed} passed, {failed} failed", err=as_json)
    if failed or not passed:
        raise SystemExit(1)


def last_words(servers: Servers) -> str:
    """Return the ends of the servers' logs without the requests: what may explain a failure."""
    found = []
    for server in servers.running:
        lines = server.log.read_text(errors="replace").splitlines()
        said = [line for line in lines if ' "GET ' not in line and ' "POST ' not in line]
        found += ["", f"The last words of the {server.name}:", *said[-LOG_LINES:]]
    return "\n".join(found)


def table(events: list[tuple[str, str, str, str]]) -> str:
    """Return the events in columns, with the status before and after each."""
    rows = [("event", "subscription", "before", "after"), *events]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(["", *lines, ""])


def as_object(walk: Walk, passed: int, failed: int) -> dict[str, object]:
    """Return what ``--json`` prints."""
    names = ("type", "subscription", "before", "after")
    return {
        "passed": passed,
        "failed": failed,
        "steps": [
            {
                "name": outcome.name,
                "passed": outcome.passed,
                "seen": outcome.seen,
                "seconds": round(outcome.seconds, 3),
            }
            for outcome in walk.outcomes
        ],
        "events": [dict(zip(names, event, strict=True)) for event in walk.events],
    }
