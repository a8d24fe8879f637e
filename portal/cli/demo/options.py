"""Where a demo listens, where it keeps its files, and which origins people see."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from portal.cli.demo.database import usable
from portal.cli.processes import StartError
from portal.config import INSTANCE

LOOPBACK = "127.0.0.1"
#: Listening on these means every address of the machine; people and servers use loopback.
EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}  # noqa: S104


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a demo was asked for. Empty texts mean the demo's own defaults."""

    host: str = "127.0.0.1"
    port: int
    sandbox_port: int
    folder: Path
    database_url: str = ""
    portal_base_url: str = ""
    sandbox_base_url: str = ""

    @property
    def portal_inside(self) -> str:
        """The portal's origin on this machine."""
        return origin(self.host, self.port)

    @property
    def sandbox_inside(self) -> str:
        """The sandbox's origin on this machine: where the Stripe SDK sends requests."""
        return origin(self.host, self.sandbox_port)

    @property
    def portal(self) -> str:
        """The portal's public origin."""
        return self.portal_base_url or self.portal_inside

    @property
    def sandbox(self) -> str:
        """The public origin of the sandbox's hosted pages."""
        return self.sandbox_base_url or self.sandbox_inside


def from_command_line(
    *,
    host: str,
    port: int,
    sandbox_port: int,
    data: Path | None,
    environment: Mapping[str, str] = os.environ,
) -> Options:
    """Read what the command line and the environment ask for.

    A database of its own gets a folder of its own, so that a demo on SQLite and one on
    PostgreSQL never share keys or a sandbox.

    :raise StartError: if both ports are the same, or an address is not one
    """
    if port == sandbox_port:
        raise StartError(f"Both servers can't have port {port}: choose another --sandbox-port.")
    url = usable(environment.get("DATABASE_URL", "").strip())
    return Options(
        host=host,
        port=port,
        sandbox_port=sandbox_port,
        folder=(data or INSTANCE).expanduser().resolve() / database_folder(url),
        database_url=url,
        portal_base_url=_public("PORTAL_BASE_URL", environment),
        sandbox_base_url=_public("SANDBOX_BASE_URL", environment),
    )


def database_folder(url: str) -> str:
    """Return the subfolder for a database that is not the demo's own SQLite file."""
    if not url:
        return ""
    kind = url.partition(":")[0].partition("+")[0] or "database"
    return f"{kind}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def origin(host: str, port: int) -> str:
    """Return the origin of a server that listens on ``host:port``."""
    name = EVERYWHERE.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _public(variable: str, environment: Mapping[str, str]) -> str:
    url = environment.get(variable, "").strip().rstrip("/")
    if not url:
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
        raise StartError(f"{variable} is {url!r}: give an origin such as https://demo.example.com.")
    return url
