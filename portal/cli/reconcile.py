"""``flask reconcile``: what differs between the portal and the billing engine."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import click
from flask.cli import with_appcontext

from portal import clock
from portal.flows import reconciling
from portal.flows.reconciling import Found, Tally, Usage
from portal.flows.reconciling.difference import read
from portal.services.reconciling import tenants
from portal.web import audit
from portal.web.engines import engine_of


@click.command()
@click.option("--repair", is_flag=True, help="Repair what is safe to repair without a person.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--tenant", "domain", help="Only this tenant; otherwise all of them.")
@click.option("--usage", "with_usage", is_flag=True, help="Compare the meters too: slower.")
@click.option(
    "--grace",
    default=5,
    show_default=True,
    type=click.IntRange(0, 1440),
    help="Minutes that something may be under way.",
)
@with_appcontext
def reconcile(
    repair: bool, as_json: bool, domain: str | None, with_usage: bool, grace: int
) -> None:
    """Compare the portal with the billing engine. Exits 1 when something differs and stays so.

    Each difference has both values, how old it is, and what ends it. Without --repair nothing
    is changed.
    """
    usage = Usage.ALL if with_usage else Usage.NONE
    run = partial(reconciling.run, engine_of, usage=usage, grace=timedelta(minutes=grace))
    found = _repaired(run, domain) if repair else run(domain=domain)
    tally = Tally()
    if as_json:
        _as_json(found, tally)
    else:
        for each in found:
            tally.count(each)
            click.echo(as_text(each))
        click.echo(as_sentence(tally))
    if tally.left:
        raise click.exceptions.Exit(1)


def _repaired(run: Callable[..., Iterator[Found]], domain: str | None) -> Iterator[Found]:
    """Repair one tenant after the other: each has its entry in the audit log."""
    for tenant_id, name in read(tenants):
        if domain in (None, name):
            with audit.command("reconcile --repair", tenant_id):
                yield from run(repair=True, domain=name)


def _as_json(found: Any, tally: Tally) -> None:
    """Write one object, a difference at a time: there may be more than fit into memory."""
    click.echo('{"differences": [', nl=False)
    for number, each in enumerate(found):
        tally.count(each)
        click.echo((", " if number else "") + json.dumps(as_object(each)), nl=False)
    end = {
        "found": tally.found,
        "repaired": tally.repaired,
        "left": tally.left,
        "by_kind": tally.by_kind,
    }
    click.echo("], " + json.dumps(end)[1:])


def as_object(each: Found) -> dict[str, object]:
    """Return a difference as JSON has it."""
    it = each.difference
    return {
        "kind": it.kind,
        "tenant": it.tenant,
        "account": it.account,
        "subject": it.subject,
        "portal": it.here,
        "engine": it.there,
        "since": it.since.isoformat() if it.since else None,
        "age_seconds": _age(it.since),
        "risk": it.risk.level,
        "danger": it.risk.danger,
        "proposal": it.proposal,
        "repairable": it.repair is not None,
        "repaired": each.repaired,
        "problem": each.problem,
    }


def as_text(each: Found) -> str:
    """Return a difference as a person reads it."""
    it = each.difference
    age = _age(it.since)
    old = f", {timedelta(seconds=age)} old" if age is not None else ""
    lines = [
        f"{it.kind}  {it.subject}  ({it.tenant}{', ' + it.account if it.account else ''}{old})",
        f"  portal: {it.here}",
        f"  engine: {it.there}",
        f"  {it.risk.level} risk: {it.risk.danger}",
    ]
    if each.repaired:
        lines.append(f"  repaired: {it.proposal}")
    elif each.problem:
        lines.append(f"  not repaired: {each.problem}")
    else:
        way = "--repair does this" if it.repair else "for a person"
        lines.append(f"  {way}: {it.proposal}")
    return "\n".join(lines)


def as_sentence(tally: Tally) -> str:
    """Return the last line."""
    if not tally.found:
        return "The portal and the billing engine agree."
    word = "difference" if tally.found == 1 else "differences"
    return f"{tally.found} {word}, {tally.repaired} repaired, {tally.left} left."


def _age(since: datetime | None) -> int | None:
    return None if since is None else max(0, int((clock.now() - since).total_seconds()))
