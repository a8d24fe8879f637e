"""The command itself."""

from __future__ import annotations

import os

import click
import requests

from portal.cli.live_check.points import POINTS, Point
from portal.cli.live_check.wire import Unsettled, Wire

_STRIPE = "https://api.stripe.com"
_MARKS = {"same": "=", "differs": "!", "unsettled": "?", "by hand": "-"}


def _key(base: str) -> str | None:
    key = os.environ.get("STRIPE_TEST_KEY", "").strip()
    if not key:
        return None
    if not key.startswith(("sk_test_", "rk_test_")):
        raise click.ClickException("STRIPE_TEST_KEY is not a test key: it begins with sk_test_.")
    if key.startswith("sk_test_sandbox_") and base == _STRIPE:
        raise click.ClickException("STRIPE_TEST_KEY is a key of the sandbox, not of Stripe.")
    return key


def _chosen(names: tuple[str, ...]) -> list[Point]:
    unknown = set(names) - {point.name for point in POINTS}
    if unknown:
        raise click.ClickException(f"There is no point {', '.join(sorted(unknown))}.")
    return [point for point in POINTS if not names or point.name in names]


@click.command("check")
@click.option("--live", is_flag=True, help="Ask Stripe, with the test key in STRIPE_TEST_KEY.")
@click.option("--only", multiple=True, metavar="POINT", help="This point only; may be repeated.")
def check(live: bool, only: tuple[str, ...]) -> None:
    """List what the sandbox had to guess about Stripe; --live settles it against Stripe itself.

    Nothing that costs money: a test key is needed, and what is made is put away again.
    """
    points = _chosen(only)
    base = (os.environ.get("STRIPE_API_BASE") or _STRIPE).rstrip("/")
    key = _key(base) if live else None
    if key is None:
        for point in points:
            _tell(point)
        if live:
            asked = sum(point.probe is not None for point in points)
            click.echo(
                f"STRIPE_TEST_KEY is not set: nothing was asked. With it, {asked} of these"
                f" {len(points)} points would be asked at {base}, and the objects put away again."
            )
        return
    results = [_ask(point, base, key) for point in points]
    count = {mark: results.count(mark) for mark in _MARKS}
    click.echo(", ".join(f"{number} {mark}" for mark, number in count.items()))
    if count["differs"] or count["unsettled"]:
        raise click.exceptions.Exit(1)


def _tell(point: Point) -> None:
    click.echo(f"{point.name}: {point.question}")
    click.echo(f"    sandbox: {point.sandbox}")
    click.echo(f"    settled by: {point.command}")


def _ask(point: Point, base: str, key: str) -> str:
    if point.probe is None:
        click.echo(f"- {point.name}: {point.command}")
        return "by hand"
    wire = Wire(base, key)
    try:
        seen = point.probe(wire)
    except (Unsettled, requests.RequestException) as error:
        click.echo(f"? {point.name}: {error}")
        return "unsettled"
    finally:
        wire.tidy()
    result = "same" if seen == point.sandbox else "differs"
    told = "" if result == "same" else f"; the sandbox says: {point.sandbox}"
    click.echo(f"{_MARKS[result]} {point.name}: {seen}{told}")
    return result
