"""`flask sandbox`: the Stripe stand-in alone."""

from __future__ import annotations

import ipaddress
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import click

from portal.cli.live_check import check
from portal.cli.processes import require_port

_THREADS = 8


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _default_file() -> str:
    return str(Path.cwd() / "instance" / "sandbox.sqlite3")


@click.group("sandbox", invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8001, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--data",
    type=click.Path(dir_okay=False),
    help="SQLite file that keeps the objects  [default: instance/sandbox.sqlite3]",
)
@click.option("--orderly", is_flag=True, help="Send webhooks in order, once, without delay.")
@click.option(
    "--meter-lag",
    default=2,
    show_default=True,
    type=click.IntRange(0, 3600),
    help="Seconds until a usage event is counted.",
)
@click.option("--allow-remote", is_flag=True, help="Listen and be controlled beyond this machine.")
@click.pass_context
def sandbox(
    context: click.Context,
    host: str,
    port: int,
    data: str | None,
    orderly: bool,
    meter_lag: int,
    allow_remote: bool,
) -> None:
    """Run the Stripe sandbox alone, until Ctrl-C. It takes test cards only."""
    if context.invoked_subcommand is not None:
        return
    if not allow_remote and not _is_loopback(host):
        raise click.ClickException(
            f"{host} is reachable from other machines. Add --allow-remote if that is what you want."
        )
    require_port(host, port, "--port")
    file = Path(data or _default_file())
    _make_folder(file)
    token = os.environ.get("SANDBOX_ADMIN_TOKEN") or secrets.token_urlsafe(24)
    base = os.environ.get("SANDBOX_BASE_URL") or f"http://{host}:{port}"
    os.environ |= {
        "SANDBOX_DATABASE": str(file),
        "SANDBOX_BASE_URL": base,
        "SANDBOX_ADMIN_TOKEN": token,
        "SANDBOX_ORDERLY": "1" if orderly else os.environ.get("SANDBOX_ORDERLY", ""),
        "SANDBOX_METER_LAG": str(meter_lag),
        "SANDBOX_ALLOW_REMOTE": "1" if allow_remote else "",
    }
    click.echo(f"Stripe sandbox on {base}  (objects in {file})", err=True)
    click.echo(f"Control room: {base}/_sandbox/  admin token: {token}", err=True)
    serve(host, port)


sandbox.add_command(check)


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError as error:
        raise click.ClickException(f"Can't write {file}: {error.strerror}.") from error


def serve(host: str, port: int) -> None:
    """Run the sandbox of the environment under gunicorn, in this process's one worker."""
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):
        """gunicorn with the options that the sandbox needs: one process, threads."""

        def load_config(self) -> None:
            options: dict[str, Any] = {
                "bind": f"{host}:{port}",
                "workers": 1,
                "threads": _THREADS,
                "worker_class": "gthread",
                "loglevel": "warning",
                "proc_name": "stripe-sandbox",
            }
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            from portal.sandbox.app import create_sandbox_from_environment

            return create_sandbox_from_environment()

    sys.argv = [sys.argv[0]]
    Server().run()
