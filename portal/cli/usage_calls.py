"""``flask usage calls``: the single calls behind a subscription's usage."""

import csv
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy import select

from portal import clock
from portal.extensions import db
from portal.models import Subscription
from portal.services import usage, usage_calls
from portal.services.csv_cells import inert
from portal.services.usage_calls import KeptCall

#: What a moment may be written as; all in UTC.
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"]
COLUMNS = ("at", "id", "source", "method", "resource", "status", "key", "bytes", "counted")


@click.command("calls")
@click.argument("subscription")
@click.option("--since", type=click.DateTime(FORMATS), help="Calls from then on, in UTC.")
@click.option("--until", type=click.DateTime(FORMATS), help="Calls before then, in UTC.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each call instead of CSV.")
@with_appcontext
def calls(subscription: str, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """Print the single calls of a SUBSCRIPTION, named by its id, as CSV.

    Calls are kept one by one for 90 days. `counted` says what the written rule makes of a call: a
    production key, answered below 400. Calls that the tenant's own Elasticsearch or Choreo counts
    are not among them: ask there.
    """
    found = db.session.scalar(select(Subscription).where(Subscription.uuid == subscription))
    if found is None:
        raise click.ClickException(
            f"There is no subscription {subscription}. Its id is in the address of its page."
        )
    now = clock.now()
    start = _aware(since) or now - usage.KEEP_RECORDS
    write = _json_writer() if as_json else _csv_writer()
    for call in usage_calls.calls_of(found, start, _aware(until) or now):
        write(_fields(call))


def _fields(call: KeptCall) -> dict[str, Any]:
    return {
        "at": call.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "id": call.call_id,
        "source": call.source,
        "method": call.method,
        "resource": call.resource,
        "status": call.status,
        "key": call.key_type,
        "bytes": call.bytes,
        "counted": call.is_counted,
    }


def _json_writer() -> Callable[[dict[str, Any]], None]:
    return lambda fields: click.echo(json.dumps(fields))


def _csv_writer() -> Callable[[dict[str, Any]], None]:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(fields: dict[str, Any]) -> None:
        writer.writerow(
            [inert(value) if isinstance(value, str) else value for value in fields.values()]
        )

    return write


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None
