"""A sandbox in a process of its own, and programs of other people that talk to it."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox.process import TOKEN, control, free_port, start, stop

ROOT = Path(__file__).parents[3]
CACHE = Path(os.environ.get("PORTAL_CLIENTS") or ROOT / ".cache" / "clients")
CLI = "@stripe/cli@1.52.0"
# The SDK of that version speaks the API version that the sandbox knows.
BILLING_E2E = ("billing-e2e==0.1.0", "stripe==15.1.0")


@dataclass(frozen=True)
class Running:
    """A strict sandbox behind a socket, with one connected account."""

    port: int
    key: str
    platform: str
    account: str

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def control(self, method: str, path: str, /, **body: Any) -> Any:
        return control(self.port, method, path, **body)

    def api(self, method: str, path: str, own: bool = False, **pairs: str) -> Any:
        """Make a request of one's own, to see what the outsider did."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if not own:
            headers["Stripe-Account"] = self.account
        inside = {"params": pairs} if method == "GET" else {"data": pairs}
        answer = requests.request(method, self.base + path, headers=headers, timeout=10, **inside)  # type: ignore[arg-type]
        assert answer.ok, answer.text
        return answer.json()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    port = free_port()
    process = start(tmp_path / "sandbox.sqlite3", port, SANDBOX_STRICT="1")
    try:
        assert TOKEN
        platform = control(port, "POST", "/platforms", name="Outside")
        account = control(port, "POST", "/accounts", platform=platform["account"], name="Publisher")
        yield Running(port, platform["secret_key"], platform["account"], account["id"])
    finally:
        stop(process)


def unavailable(reason: str) -> None:
    """Skip, or fail where everything must be tested."""
    if os.environ.get("REQUIRE_ALL_TESTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let one test process install at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(what: str, *commands: list[str]) -> None:
    """Run the commands that install `what`; skip or fail the test when they can't."""
    for command in commands:
        if shutil.which(command[0]) is None:
            unavailable(f"{what}: {command[0]} is not here.")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        except subprocess.TimeoutExpired:
            unavailable(f"{what}: {command[0]} took too long.")
            return
        if done.returncode:
            unavailable(f"{what} can't be installed: {done.stderr.strip()[-300:]}")


@pytest.fixture(scope="session")
def stripe_cli() -> Path:
    """Stripe's own command line client."""
    folder = CACHE / "stripe-cli"
    with alone("stripe-cli"):
        found = next(folder.glob("node_modules/@stripe/cli-*/bin/stripe"), None)
        if found is None:
            folder.mkdir(exist_ok=True)
            npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
            install(CLI, [*npm, "--prefix", str(folder), CLI])
            found = next(folder.glob("node_modules/@stripe/cli-*/bin/stripe"), None)
        if found is None:
            unavailable(f"{CLI} has no program for this machine.")
            raise AssertionError
        found.chmod(0o755)
    return found


@pytest.fixture(scope="session")
def billing_e2e() -> Path:
    """The interpreter of an environment of its own with billing-e2e, which pins other versions."""
    folder = CACHE / "billing-e2e"
    python = folder / "bin" / "python"
    with alone("billing-e2e"):
        mark = folder / "installed"
        if not mark.exists():
            made = [sys.executable, "-m", "venv", "--without-pip", "--clear", str(folder)]
            pip = ["pip", "--python", str(python), "install", "-q", *BILLING_E2E]
            install(BILLING_E2E[0], made, pip)
            mark.write_text(" ".join(BILLING_E2E))
    return python
