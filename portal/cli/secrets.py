"""``flask secrets``: the keys that encrypt what is stored."""

from typing import Any

import click
from cryptography.fernet import Fernet
from flask.cli import with_appcontext

from portal.services import resealing
from portal.services.audit import NEW_SECRET, SECRET
from portal.services.resealing import Sealed, Step
from portal.web import audit
from portal.web.unit_of_work import in_unit_of_work


@click.group()
def secrets() -> None:
    """Look after the keys that encrypt stored secrets."""


@secrets.command("new-key")
def new_key() -> None:
    """Print a new key, to be put before the others in ENCRYPTION_KEYS."""
    click.echo(Fernet.generate_key().decode())


@secrets.command()
@with_appcontext
def rotate() -> None:
    """Encrypt every stored secret with the first key of ENCRYPTION_KEYS.

    Works while the portal runs, and may be stopped and repeated. When it ends well, the other
    keys can be taken out of ENCRYPTION_KEYS.
    """
    rotated = unreadable = 0
    with audit.command("secrets rotate", audit.of_installation()):
        for sealed in resealing.columns():
            done = _column(sealed)
            click.echo(f"{sealed.name}: {done[0]} encrypted anew, {done[1]} were already")
            rotated, unreadable = rotated + done[0], unreadable + done[2]
    if unreadable:
        raise click.ClickException(
            f"{unreadable} secrets open with none of the keys. Put the key that sealed them at "
            "the end of ENCRYPTION_KEYS and repeat, or enter these secrets anew."
        )
    click.echo(f"{rotated} secrets are encrypted anew. Only the first key is needed from now on.")


def _column(sealed: Sealed) -> tuple[int, int, int]:
    counts, after = (0, 0, 0), None
    while True:
        step = in_unit_of_work(lambda last=after: _some(sealed, last))  # type: ignore[misc]
        added = (step.rotated, step.current, step.unreadable)
        counts = tuple(map(sum, zip(counts, added, strict=True)))  # type: ignore[assignment]
        after = step.last
        if after is None:
            return counts


def _some(sealed: Sealed, last: Any) -> Step:
    step = resealing.reseal_some(sealed, last)
    if step.rotated:
        fields = {sealed.column.name: [SECRET, NEW_SECRET]}
        audit.tell({"row": sealed.table.name, "name": "", "what": "changed", "fields": fields})
    return step
