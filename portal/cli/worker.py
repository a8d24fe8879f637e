"""``flask worker``: background work on a machine or in a process of its own."""

import click
from flask import current_app
from flask.cli import with_appcontext

from portal import jobs
from portal.web import queue


@click.command()
@click.option("--workers", default=4, show_default=True, help="Tasks at the same time.")
@with_appcontext
def worker(workers: int) -> None:
    """Publish on schedule, try again, sweep: what the web workers otherwise do themselves."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    if queue.queue_of(app).huey.immediate:
        raise click.ClickException(
            "QUEUE_URL=memory does everything at once: there is nothing for a worker to do."
        )
    click.echo("The worker is running. Ctrl-C stops it.")
    jobs.work(app, workers)
