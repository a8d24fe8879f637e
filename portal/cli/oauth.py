"""``flask oauth``: the authorization server's keys and leftovers."""

from datetime import datetime

import click
from flask.cli import with_appcontext

from portal import clock
from portal.services import expiry, signing
from portal.web import audit
from portal.web.unit_of_work import in_unit_of_work


@click.group()
def oauth() -> None:
    """Look after the authorization server."""


@oauth.command("rotate-keys")
@with_appcontext
def rotate_keys() -> None:
    """Sign id tokens with a new key from now on.

    The present keys stay published for two days, so that what they signed still verifies.
    """
    with audit.command("oauth rotate-keys", audit.of_installation()):
        kid, end = in_unit_of_work(_rotate)
    click.echo(f"Id tokens are signed with the key {kid} from now on.")
    click.echo(f"Earlier keys are published until {end:%Y-%m-%d %H:%M} UTC.")


def _rotate() -> tuple[str, datetime]:
    made = signing.rotate()
    return made.kid, clock.now() + signing.OVERLAP


@oauth.command("clean-up")
@with_appcontext
def clean_up() -> None:
    """Delete codes, tokens and keys that are of no use any more; the worker does it each night."""
    gone = 0
    with audit.command("oauth clean-up", audit.of_installation()):
        while some := in_unit_of_work(expiry.forget_some):
            gone += some
    click.echo(f"{gone} expired codes, tokens and keys are deleted.")
