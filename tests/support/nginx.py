"""Debian's nginx with what ``deploy`` holds for it, in a folder of its own."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from portal.cli.processes import Child

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
#: Those of ``deploy`` that make a gateway of nginx.
GATEWAYS = ("nginx-gateway.conf", "nginx-gateway-lua.conf")
_MODULES = [
    Path("/usr/lib/nginx/modules", f"{name}.so")
    for name in ("ndk_http_module", "ngx_http_lua_module")
]
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def program() -> str | None:
    """Return the path of nginx, if it is installed."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def absent(http: str = "") -> list[str]:
    """Return what a configuration needs and is not installed.

    Debian has it as ``nginx-light`` and ``libnginx-mod-http-lua``.
    """
    found = [str(each) for each in _modules(http) if not each.exists()]
    return found if program() else ["nginx", *found]


def needed(http: str = "") -> None:
    """Skip a test where what it needs is absent, or fail if all tests are required."""
    if missing := absent(http):
        give_up = pytest.fail if os.environ.get("REQUIRE_ALL_TESTS") == "1" else pytest.skip
        give_up(f"{', '.join(missing)} is not installed")


def _modules(http: str) -> list[Path]:
    return _MODULES if "lua_shared_dict" in http else []


def filled(name: str, words: Mapping[str, str]) -> str:
    """Return a template of ``deploy`` with the words in it."""
    text = (DEPLOY / name).read_text()
    for word, value in {"LUA": str(DEPLOY), **words}.items():
        text = text.replace(f"@{word}@", value)
    left = re.findall(r"^[^#\n]*(@[A-Z_]+@)", text, re.MULTILINE)
    if left:
        raise ValueError(f"{name} has more words: {left}")
    return text


def server(folder: Path, name: str, http: str) -> Child:
    """Describe an nginx with two workers and this ``http`` block, which works in a folder."""
    home = folder / name
    home.mkdir()
    temporary = "\n".join(f"{kind}_temp_path {home}/t_{kind};" for kind in _TEMPORARY)
    modules = "\n".join(f"load_module {each};" for each in _modules(http))
    # Started by root, its workers would be somebody who may not enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(f"""{modules}
{user} daemon off; pid {home}/nginx.pid; worker_processes 2; error_log stderr;
worker_rlimit_nofile 4096;
events {{ worker_connections 1024; }}
http {{ {temporary}
{http} }}
""")
    return Child(name, [program() or "nginx", "-p", str(home), "-c", str(home / "nginx.conf")])
