"""`flask demo`: the portal, a back end and a Stripe sandbox with example data, on one machine."""

from pathlib import Path

import click


@click.command("demo")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--sandbox-port", default=8001, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder for databases, keys and logs.  [default: the instance folder]",
)
@click.option("--reset", is_flag=True, help="First empty what an earlier demo made there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a page.")
def demo(
    host: str, port: int, sandbox_port: int, data: Path | None, reset: bool, as_json: bool
) -> None:
    """Run the whole portal with example data and a Stripe sandbox, until Ctrl-C.

    No account, no network and no settings are needed. DATABASE_URL names another database than
    SQLite; behind a proxy, PORTAL_BASE_URL and SANDBOX_BASE_URL are the public origins.
    """
    # Imported here, because flask loads every command of the portal to run any of them.
    from portal.cli.demo.command import run

    run(host=host, port=port, sandbox_port=sandbox_port, data=data, reset=reset, as_json=as_json)
