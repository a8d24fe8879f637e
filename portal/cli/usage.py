"""``flask usage``: publish usage, say how the last run went, show single calls, read files."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click
from flask.cli import with_appcontext
from sqlalchemy import select

from portal.cli.usage_calls import calls
from portal.cli.usage_import import import_file
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import draining
from portal.flows import publishing as publishing_flow
from portal.models import PublishRun, Tenant
from portal.services import publishing
from portal.web import audit
from portal.web.context import moment
from portal.web.engines import engine_of, settings

OPERATOR = "command"
#: How long a log is left alone between two readings, so that each reads many lines; limits are
#: counted as late as this.
FOLLOW_SECONDS = 1.0


@click.group()
def usage() -> None:
    """Publish what subscribers have used, see how it went, and take in files of calls."""


@usage.command()
@click.option("--tenant", "domain", help="Only this tenant; otherwise all of them.")
@with_appcontext
def publish(domain: str | None) -> None:
    """Publish all usage up to now. Exits 1 when something was not accepted."""
    failed = False
    for tenant in _tenants(domain):
        failed |= not _publish(tenant)
    if failed:
        raise click.exceptions.Exit(1)


def _publish(tenant: Tenant) -> bool:
    name = tenant.tenant_domain
    try:
        with audit.command("usage publish", tenant.tenant_id):
            run_id = publishing_flow.start(tenant, OPERATOR).run_id
    except PortalError as refused:
        click.echo(f"{name}: {refused.message}.", err=True)
        return False
    db.session.rollback()
    with click.progressbar(length=1, label=name) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        publishing_flow.run(engine_of, run_id, show)
    run = db.session.get_one(PublishRun, run_id, populate_existing=True)
    click.echo(f"{name}: {_words(run)}")
    return run.status == publishing.SUCCESSFUL


@usage.command()
@click.option("--tenant", "domain", help="Only this tenant; otherwise all of them.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, in the words of the REST API.")
@with_appcontext
def status(domain: str | None, as_json: bool) -> None:
    """Say how the last publish run of each tenant went."""
    tenants = _tenants(domain)
    if as_json:
        found = {tenant.tenant_domain: publishing.status(tenant) for tenant in tenants}
        click.echo(json.dumps(found if domain is None else found[domain], indent=2))
        return
    for tenant in tenants:
        runs = publishing.history(tenant, 1)
        words = _words(runs[0]) if runs else "Nothing was ever published."
        click.echo(f"{tenant.tenant_domain}: {words}")


@usage.command()
@click.argument("log", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C, as calls are made.")
@with_appcontext
def tail(log: Path | None, *, follow: bool) -> None:
    """Count the calls in the LOG of an nginx that runs deploy/nginx-gateway.conf.

    Without LOG: the file that GATEWAY_LOG names. Each line is counted once, however often and by
    however many this is run; a log that was rotated is read to its end. Without --follow, exits 1
    when a log is not there or cannot be counted.
    """
    path = log or settings().gateway_log
    if path is None:
        raise click.UsageError("Name the log, or set GATEWAY_LOG.")
    # A log that was rotated just now stands under another name only.
    if not follow and not any(path.parent.glob(f"{path.name}*")):
        raise click.ClickException(f"There is no log {path}.")
    failed: list[Path] = []
    total = draining.drain_log(path, failed)
    while follow:
        time.sleep(FOLLOW_SECONDS)
        draining.drain_log(path)
    click.echo(f"{path}: {total} new bytes are counted.")
    if failed:
        names = ", ".join(each.name for each in failed)
        raise click.ClickException(f"{names} cannot be counted; the reason stands above.")


usage.add_command(import_file)
usage.add_command(calls)


def _tenants(domain: str | None) -> Sequence[Tenant]:
    query = select(Tenant).order_by(Tenant.tenant_id)
    if domain is not None:
        query = query.where(Tenant.tenant_domain == domain)
    found = db.session.scalars(query).all()
    if domain is not None and not found:
        raise click.ClickException(f"There is no tenant {domain}.")
    return found


def _words(run: PublishRun) -> str:
    when = moment(run.finished_at or run.started_at)
    text = f"{run.status} at {when}: {run.calls} calls in {run.batches} batches"
    if run.failures:
        text += f", {run.failures} not accepted"
    return f"{text}. {run.error}" if run.error else f"{text}."
