"""Debian's Chromium, and a demo that it looks at."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from portal.cli.processes import free_ports
from tests.browser.walking import CHROMIUM, Person, launch

Newcomer = Callable[..., Person]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What `flask demo --json` says of itself, once it answers."""
    folder = tmp_path_factory.mktemp("demo")
    port, sandbox_port = free_ports(2)
    options = ["--port", str(port), "--sandbox-port", str(sandbox_port), "--data", str(folder)]
    # Settings of whoever runs the tests must not reach the demo.
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi:app", "demo", "--json", *options],
            cwd=Path(__file__).resolve().parents[2],
            env=inherited,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, (folder / "said").read_text()
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(timeout=60)
        if process.stdout:
            process.stdout.close()


# Not for the whole session: as long as it lives, an asyncio loop runs in this thread.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    if not Path(CHROMIUM).exists():
        reason = f"{CHROMIUM} is not installed"
        if os.environ.get("REQUIRE_ALL_TESTS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.fixture
def newcomer(demo: dict[str, Any], chromium: Browser) -> Iterator[Newcomer]:
    """Lets a person with a role come in, with a window of their own."""
    made: list[Person] = []

    def come(role: str, *, width: int = 1280, scripts: bool = True, **more: Any) -> Person:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=scripts, **more
        )
        made.append(Person(demo, context, role))
        return made[-1]

    yield come
    for person in made:
        person.page.context.close()
