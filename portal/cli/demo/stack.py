"""A whole demo: its settings, its database, its servers and its example data."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from portal.cli.demo import database, keeping
from portal.cli.demo.keeping import Kept
from portal.cli.demo.options import LOOPBACK, Options, origin
from portal.cli.demo.sandbox import SandboxControl, SandboxRefused
from portal.cli.processes import (
    Child,
    Servers,
    StartError,
    backend_server,
    free_ports,
    portal_server,
    require_port,
    sandbox_server,
)
from portal.config import Settings

LOGS = "logs"


@dataclass(frozen=True)
class Part:
    """A server of the demo, and where it says that it is ready."""

    child: Child
    ready: str

    def start(self, servers: Servers) -> None:
        """Start it, and wait until it answers."""
        servers.wait_until_answers(servers.start(self.child), self.ready)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A demo whose servers answer."""

    options: Options
    kept: Kept
    settings: Settings
    control: SandboxControl
    servers: Servers
    backend: str
    """The back end's origin."""
    webhook_secret: str
    """Of the super tenant."""
    parts: dict[str, "Part"]
    """The servers by name: sandbox, backend, portal."""

    def restart(self, name: str) -> None:
        """Start a server again that was stopped, and wait until it answers."""
        self.parts[name].start(self.servers)

    @property
    def folder(self) -> Path:
        """Where it keeps its files."""
        return self.options.folder


@contextmanager
def running(options: Options, *, reset: bool = False) -> Iterator[Demo]:
    """Run a demo as long as the ``with`` block; yields once everything answers.

    :raise StartError: with one sentence, if a port is taken, the folder can't be written, the
        database is somebody else's, or a server ends by itself
    """
    require_port(options.host, options.port, "--port")
    require_port(options.host, options.sandbox_port, "--sandbox-port")
    keeping.prepare(options.folder)
    with keeping.locked(options.folder):
        if reset:
            empty(options)
        kept = claim(options)
        with Servers(options.folder / LOGS) as servers:
            yield _start(options, kept, servers)


def claim(options: Options) -> Kept:
    """Return what the folder keeps, once it is sure that the database is the demo's own.

    The claim is stored before the first table is made, so that a start that was interrupted can
    go on, or be reset.

    :raise StartError: if there are tables that no demo in this folder made
    """
    kept = keeping.load(options.folder)
    if not kept.owns_database:
        url = settings_of(options, kept, backend="").database_url
        database.require_empty(
            url, "name an empty database, or the folder of its demo with --data."
        )
        kept.owns_database = True
    _choose_backend_port(kept)
    keeping.save(options.folder, kept)
    return kept


def empty(options: Options) -> None:
    """Empty what a demo made in this folder and in its database, and nothing else."""
    kept = keeping.load(options.folder)
    if kept.owns_database:
        database.drop(settings_of(options, kept, backend="").database_url)
    keeping.remove(options.folder)


def settings_of(options: Options, kept: Kept, backend: str) -> Settings:
    """Return the portal's settings in this demo, whatever the environment says of them."""
    allowed = os.environ.get("BACKEND_ALLOWLIST", "")
    return Settings(
        secret_key=SecretStr(kept.secret_key),
        encryption_keys=(SecretStr(kept.encryption_key),),
        database_url=options.database_url or f"sqlite:///{options.folder / 'portal.sqlite3'}",
        queue_url=os.environ.get("QUEUE_URL") or str(options.folder / "queue.sqlite3"),
        portal_base_url=options.portal,
        stripe_api_base=options.sandbox_inside,
        sandbox_base_url=options.sandbox,
        billing_engine="stripe",
        https_proxy=None,
        mail_url=SecretStr("mailbox:"),
        backend_allowlist=tuple(item for item in (backend, *allowed.split(",")) if item.strip()),
        PORTAL_INSTANCE=options.folder,
        PORTAL_TESTING=False,
    )


def environment(settings: Settings) -> dict[str, str]:
    """Return the same settings as environment variables, for the portal's processes."""
    return {
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "ENCRYPTION_KEYS": ",".join(key.get_secret_value() for key in settings.encryption_keys),
        "DATABASE_URL": settings.database_url,
        "QUEUE_URL": settings.queue_url,
        "PORTAL_BASE_URL": settings.portal_base_url,
        "STRIPE_API_BASE": settings.stripe_api_base,
        "SANDBOX_BASE_URL": settings.sandbox_base_url,
        "BILLING_ENGINE": settings.billing_engine,
        "BACKEND_ALLOWLIST": ",".join(settings.backend_allowlist),
        "MAIL_URL": settings.mail_url.get_secret_value(),
        "PORTAL_INSTANCE": str(settings.instance),
        "PORTAL_TESTING": "0",
        "HTTPS_PROXY": "",
        "https_proxy": "",
        "NO_PROXY": without_proxy(),
        "no_proxy": without_proxy(),
    }


def without_proxy() -> str:
    """Return NO_PROXY with this machine added: no proxy can reach the demo's own servers."""
    known = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    return ",".join(filter(None, [known, LOOPBACK, "localhost", "::1"]))


def _start(options: Options, kept: Kept, servers: Servers) -> Demo:
    # Imported here, because it loads the whole portal: a wrong option is said before that.
    from portal.cli.demo.preparing import prepare_database, prepare_examples

    os.environ["NO_PROXY"] = os.environ["no_proxy"] = without_proxy()
    backend = origin(LOOPBACK, kept.backend_ports[-1])
    settings = settings_of(options, kept, backend)
    control = SandboxControl(options.sandbox_inside, kept.admin_token)
    parts = _parts(options, kept, settings)
    started = {name: servers.start(parts[name].child) for name in ("sandbox", "backend")}
    app = prepare_database(settings)
    started["portal"] = servers.start(parts["portal"].child)
    servers.wait_until_answers(started["sandbox"], parts["sandbox"].ready)
    try:
        secret = prepare_examples(app, kept, control, options.portal_inside, options.folder)
    except SandboxRefused as error:
        raise StartError(f"The example data can't be made: {error}") from error
    for name in ("backend", "portal"):
        servers.wait_until_answers(started[name], parts[name].ready)
    return Demo(
        options=options,
        kept=kept,
        settings=settings,
        control=control,
        servers=servers,
        backend=backend,
        webhook_secret=secret,
        parts=parts,
    )


def _parts(options: Options, kept: Kept, settings: Settings) -> dict[str, Part]:
    port = kept.backend_ports[-1]
    sandbox = sandbox_server(options.host, options.sandbox_port, _sandbox(options, kept))
    portal = portal_server(options.host, options.port, environment(settings))
    return {
        "sandbox": Part(sandbox, f"{options.sandbox_inside}/healthz"),
        "backend": Part(backend_server(LOOPBACK, port), f"{origin(LOOPBACK, port)}/healthz"),
        "portal": Part(portal, f"{options.portal_inside}/readyz"),
    }


def _sandbox(options: Options, kept: Kept) -> dict[str, str]:
    return {
        "SANDBOX_DATABASE": str(options.folder / "sandbox.sqlite3"),
        "SANDBOX_BASE_URL": options.sandbox,
        "SANDBOX_ADMIN_TOKEN": kept.admin_token,
    }


def _choose_backend_port(kept: Kept) -> None:
    """Take the port of the last time if it is free, so that addresses stay as they were."""
    if kept.backend_ports:
        try:
            require_port(LOOPBACK, kept.backend_ports[-1], "--data")
            return
        except StartError:
            pass
    kept.backend_ports.append(free_ports(1)[0])
