"""``flask doctor``: what is wrong with the set-up, and what to press."""

import json

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import select

from portal.extensions import db
from portal.flows import examining
from portal.models import Tenant
from portal.services.examination import Finding, Report, State
from portal.web.addresses import surroundings_of
from portal.web.engines import engine_of

_MARKS = {State.GOOD: "✓", State.FAULT: "✗", State.REMINDER: "!", State.OPEN: "–"}
_COLOURS = {State.GOOD: "green", State.FAULT: "red", State.REMINDER: "yellow"}


@click.command()
@click.option("--tenant", "domain", help="Only this tenant; otherwise all of them.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@with_appcontext
def doctor(domain: str | None, as_json: bool) -> None:
    """Check the set-up of each tenant. Exits 1 when something is wrong.

    Asks Stripe, and changes nothing, neither here nor there.
    """
    reports = {}
    with current_app.test_request_context():
        for name in _tenants(domain):
            tenant = db.session.scalars(select(Tenant).where(Tenant.tenant_domain == name)).one()
            reports[name] = examining.look_at(tenant, engine_of, surroundings_of(tenant))
    if as_json:
        click.echo(json.dumps({name: _as_json(report) for name, report in reports.items()}))
    else:
        for name, report in reports.items():
            _show(name, report)
    if not all(report.is_good for report in reports.values()):
        raise click.exceptions.Exit(1)


def _tenants(domain: str | None) -> list[str]:
    found = list(db.session.scalars(select(Tenant.tenant_domain).order_by(Tenant.tenant_id)))
    if domain is None:
        return found
    if domain not in found:
        raise click.ClickException(f"There is no tenant {domain}.")
    return [domain]


def _as_json(report: Report) -> dict[str, object]:
    return {
        "good": report.is_good,
        "findings": [finding.as_json() for finding in report.findings],
    }


def _show(name: str, report: Report) -> None:
    click.echo(name)
    for finding in report.findings:
        _line(finding)
    faults = len(report.faults)
    click.echo(f"  {faults} {'thing is' if faults == 1 else 'things are'} wrong.\n")


def _line(finding: Finding) -> None:
    verdict = finding.verdict
    mark = click.style(_MARKS[verdict.state], fg=_COLOURS.get(verdict.state))
    click.echo(f"  {mark} {finding.title}: {verdict.words}")
    if verdict.remedy:
        click.echo(f"      {verdict.remedy}")
