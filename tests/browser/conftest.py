"""Debian's Chromium, and a demo that it looks at."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from portal.cli.processes import free_ports
from tests.browser.demo import running
from tests.browser.walking import Person, chromium_or_skip

Newcomer = Callable[..., Person]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A running demo."""
    with running(tmp_path_factory.mktemp("demo"), *free_ports(2)) as said:
        yield said


# Not for the whole session: as long as it lives, an asyncio loop runs in this thread.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    with chromium_or_skip() as browser:
        yield browser


@pytest.fixture
def newcomer(chromium: Browser, demo: dict[str, Any]) -> Iterator[Newcomer]:
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
