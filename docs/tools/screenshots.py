"""Take the README's pictures: start a demo, walk the main job, and look at it.

    python docs/tools/screenshots.py            # writes docs/img/
    python docs/tools/screenshots.py --out DIR

Needs the extra "test" and Debian's Chromium. The pictures are of a fresh demo each time, so dates
and ids in them differ from those before.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from portal.cli.processes import free_ports  # noqa: E402
from tests.browser.demo import running  # noqa: E402
from tests.browser.walking import API, Person, chromium_or_skip  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: What the walk calls a page, and what its picture is called.
PICTURES = {
    "monetization": "1-monetization",
    "api": "2-plans",
    "checkout": "3-checkout",
    "subscription": "4-subscription",
    "usage": "5-publish-usage",
    "invoice": "6-invoice",
}
SIZE = {"width": 1280, "height": 900}
APPLICATION = "Route Finder"
CALLS = 25


class Camera:
    """Takes a picture of the pages that it was told to, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: set[str] = set()

    def look(self, name: str, page: Page) -> None:
        """Take the picture, if this page is one of them."""
        if name not in PICTURES or name in self.taken:
            return
        page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
        page.screenshot(path=self.folder / f"{PICTURES[name]}.png", animations="disabled")
        self.taken.add(name)
        print(f"{PICTURES[name]}.png: {page.title()}")


def walk(demo: dict[str, object], browser: Browser, camera: Camera) -> None:
    """Do the main job, once."""

    def person(role: str) -> Person:
        context = browser.new_context(
            viewport=SIZE,  # type: ignore[arg-type]
            color_scheme="light",
            reduced_motion="reduce",
        )
        come = Person(demo, context, role)
        come.shows = camera.look
        come.signs_in()
        return come

    publisher = person("publisher")
    publisher.opens("/publisher/", "APIs")
    publisher.follows(API, re.compile(API))
    publisher.follows("Monetization")
    camera.look("monetization", publisher.page)
    developer = person("developer")
    key = developer.makes_application(APPLICATION)
    subscription = developer.subscribes(APPLICATION, "Pay-as-you-go")
    developer.pays()
    developer.calls(key, CALLS)
    person("admin").publishes_usage()
    developer.page.goto(subscription)
    developer.sees(f"{CALLS} ")
    camera.look("subscription", developer.page)
    developer.reads_invoice(subscription)


def main() -> None:
    """Write the pictures and say which."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera(folder)
    with (
        tempfile.TemporaryDirectory() as data,
        running(Path(data), *free_ports(2)) as demo,
        chromium_or_skip() as browser,
    ):
        walk(demo, browser, camera)
    missing = PICTURES.keys() - camera.taken
    if missing:
        sys.exit(f"Not seen on the way: {', '.join(sorted(missing))}.")


if __name__ == "__main__":
    main()
