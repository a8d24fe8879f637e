"""``flask usage import``: calls that a gateway wrote down in a file."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy import select

from portal.errors import PortalError
from portal.extensions import db
from portal.models import Tenant
from portal.models.tenant import SUPER_TENANT
from portal.services import gateway_log, intake, usage_files
from portal.services.intake import Outcome
from portal.services.usage_files import Lines
from portal.web import audit
from portal.web.unit_of_work import in_unit_of_work

#: Events with the numbers of their lines.
Batch = Sequence[tuple[int, Any]]
UNREADABLE = "The line cannot be read."
SHOWN = 20


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "kind", type=click.Choice([usage_files.NGINX, usage_files.CSV]))
@click.option("--tenant", "domain", default=SUPER_TENANT, show_default=True)
@click.option("--source", default="import", show_default=True, help="Which gateway wrote it.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@with_appcontext
def import_file(file: Path, kind: str | None, domain: str, source: str, as_json: bool) -> None:
    """Take in the calls of FILE: an access log of nginx in JSON, or CSV with a heading.

    Each line is a call, and counts once by its id and SOURCE, however often the file is read: also
    when it has grown, has another name, or lines of it were mended. Lines without an id are known
    by what they say: of equal ones, also in several files, as many count as one file has. Where
    two calls may be written alike, give each gateway a SOURCE of its own, or the lines ids.

    The log of an nginx
    that runs deploy/nginx-gateway.conf is read as `flask usage tail` reads it, so that it does not
    matter which of both has read it before. Exits 1 when a line was refused.
    """
    tenant_id = _tenant(domain)
    how = kind or (usage_files.CSV if file.suffix.lower() == ".csv" else usage_files.NGINX)
    counted: Counter[str] = Counter()
    refused: list[dict[str, Any]] = []
    with audit.command("usage import", tenant_id):
        if how == usage_files.NGINX and gateway_log.is_one(file):
            _drain(file, counted, hidden=as_json)
        else:
            taken = partial(_take_in, tenant_id, counted=counted, refused=refused)
            _read(file, how, source, taken, hidden=as_json)
        in_unit_of_work(lambda: _note(file, counted))
    _tell(counted, refused, as_json)
    if refused:
        raise click.exceptions.Exit(1)


def _read(
    file: Path, how: str, source: str, take_in: Callable[[Batch], object], *, hidden: bool
) -> None:
    with (
        file.open("rb") as opened,
        click.progressbar(length=file.stat().st_size, label=file.name, hidden=hidden) as bar,
    ):
        lines = Lines(opened)
        try:
            for batch in _batches(usage_files.events(lines, how, source)):
                take_in(batch)
                bar.update(lines.position - bar.pos)
        except PortalError as error:
            raise click.ClickException(error.message) from error


def _note(file: Path, counted: Counter[str]) -> None:
    taken = {str(outcome): [0, number] for outcome, number in counted.items()}
    audit.tell({"row": "UsageEvent", "name": file.name, "what": "made", "fields": taken})


def _drain(file: Path, counted: Counter[str], *, hidden: bool) -> None:
    """Bring what is new in a log into the ledger."""

    def known() -> int:
        return in_unit_of_work(lambda: gateway_log.calls_of(db.session.connection(), file))

    before = known()
    size = file.stat().st_size
    with click.progressbar(length=size, label=file.name, hidden=hidden) as bar:
        while done := in_unit_of_work(lambda: gateway_log.drain(db.session.connection(), file)):
            bar.update(done)
        bar.update(size - bar.pos)
    counted[Outcome.ACCEPTED] = known() - before
    counted[Outcome.DUPLICATE] = before


def _tenant(domain: str) -> int:
    found = db.session.scalar(select(Tenant.tenant_id).where(Tenant.tenant_domain == domain))
    db.session.rollback()
    if found is None:
        raise click.ClickException(f"There is no tenant {domain}.")
    return found


def _batches(events: Iterator[tuple[int, Any]]) -> Iterator[Batch]:
    while batch := list(islice(events, intake.MOST_EVENTS)):
        yield batch


def _take_in(
    tenant_id: int,
    batch: Batch,
    *,
    counted: Counter[str],
    refused: list[dict[str, Any]],
) -> None:
    events = [event for _, event in batch]
    items = in_unit_of_work(lambda: intake.take_in(db.session.connection(), tenant_id, events))
    for (number, event), item in zip(batch, items, strict=True):
        counted[item.outcome] += 1
        if item.outcome is Outcome.REFUSED:
            reason = item.reason if event is not None else UNREADABLE
            refused.append({"line": number, "reason": reason})


def _tell(counted: Counter[str], refused: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        names = {"accepted": Outcome.ACCEPTED, "duplicates": Outcome.DUPLICATE}
        told = {name: counted[outcome] for name, outcome in names.items()}
        click.echo(json.dumps(told | {"refused": refused}))
        return
    click.echo(
        f"{counted[Outcome.ACCEPTED]:,} calls taken in, {counted[Outcome.DUPLICATE]:,} were known, "
        f"{counted[Outcome.REFUSED]:,} refused."
    )
    for item in refused[:SHOWN]:
        click.echo(f"Line {item['line']}: {item['reason']}", err=True)
    if len(refused) > SHOWN:
        click.echo(f"… and {len(refused) - SHOWN:,} more; --json lists them all.", err=True)
