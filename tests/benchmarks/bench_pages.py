"""How many pages with a list are answered a second, against a bare page of as many rows.

    python -m tests.benchmarks.bench_pages --database postgresql+psycopg://… [--pairs 5]

The floor is the same list on a bare page, see ``floor_pages.py``: the cells, links, buttons and
badges of the portal's page and about its bytes, from one query through SQLAlchemy Core, one
template without macros and one layout; no session and nobody who has signed in. The product is the
portal with a person who has signed in and whose browser keeps its cookies, its rules, headers and
components. Both are served alike, eight requests at a time, and alternate in one run.

For each page: the ratio of rates, the processor time of one answer in milliseconds, both without
the database's, and its bytes; the floor comes first. The catalogue has 12 cards, not 50 rows: what
every page costs weighs more there, and it does not decide whether the target is met. Prints one
JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from statistics import median
from typing import Any

import requests
import sqlalchemy as sa

from portal import clock
from portal.cli.processes import Servers, free_ports
from portal.extensions import db
from portal.models import InboxEvent
from tests.benchmarks import events, loading, stage
from tests.support.factories import Factories

TARGET = 0.75
ROWS, EVENTS, CARDS = 60, 2_000, 20
WORDS = "Says what the weather will be, for any place and for the ten days that come, by the hour."
#: The pages with 50 rows, and the catalogue with 12 of its own; and who looks at them.
PAGES = {"/admin/events": "admin", "/admin/approvals": "admin", "/devportal/": "dana"}
SHORT = ("/devportal/",)


def measure(url: str, folder: Path, pairs: int, count: int) -> dict[str, Any]:
    """Alternate the floor and each page."""
    floor, port = free_ports(2)
    env = stage.environment(url, folder)
    with stage.emptied(url) as engine, Servers(folder / "logs") as servers:
        with stage.filled(env):
            _fill()
        with engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE")
        here = {"PYTHONPATH": str(stage.ROOT), "FLOOR_DATABASE": url}
        bare = stage.serve(servers, "floor", "tests.benchmarks.floor_pages:page()", floor, here)
        portal = stage.serve(servers, "portal", "wsgi:app", port, env)
        pages = {}
        for path, who in PAGES.items():
            sides = (
                Side(floor, bare.process.pid, path, "", count),
                Side(port, portal.process.pid, path, _sign_in(port, who, path), count),
            )
            pages[path] = _compare(pairs, sides)
    ratios = [page["ratio"] for path, page in pages.items() if path not in SHORT]
    return {
        "benchmark": "pages",
        "requests": count,
        "pairs": pairs,
        "pages": pages,
        "target_ratio": TARGET,
        "load": [round(each, 1) for each in os.getloadavg()],
        "passed": min(ratios) >= TARGET,
    }


def _fill() -> None:
    make = Factories()
    make.user("admin", "admin")
    sold = events.sell(make, ROWS)
    values = [
        {
            "tenant_id": 1, "event_id": f"evt_{number:08d}", "type": "invoice.payment_succeeded",
            "account": events.ACCOUNT, "livemode": False, "created": 1_780_000_000 + number,
            "received_at": clock.now(), "payload_zlib": InboxEvent.pack(b"{}" * 500),
            "outcome": "applied", "detail": "The invoice is paid.", "deliveries": 1, "attempts": 1,
            "status_before": "BLOCKED", "status_after": "UNBLOCKED",
            "am_subscription_id": sold[number % ROWS].number,
        }
        for number in range(EVENTS)
    ]  # fmt: skip
    db.session.execute(sa.insert(InboxEvent), values)
    db.session.commit()
    waiting = make.fixed_policy(name="Waiting")
    api = make.api("Locale", waiting)
    free = make.policy(name="Open")
    for number in range(CARDS):
        make.api(f"Catalogue {number:02d}", free, description=WORDS)
    owner = make.user("pat2", "subscriber")
    for number in range(ROWS):
        application = make.application(f"Waits {number}", owner=owner)
        make.subscription(
            api=api, application=application, policy=waiting, billing="PAID", approval="PENDING"
        )


def _sign_in(port: int, name: str, path: str) -> str:
    """Sign a person in through the page, open one, and return the cookies."""
    origin = f"http://127.0.0.1:{port}"
    with requests.Session() as session:
        # A session is of one browser: with another name each answer would bring a new cookie.
        session.headers["User-Agent"] = loading.AGENT
        page = session.get(f"{origin}/account/sign-in", timeout=60).text
        token = page.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]
        form = {"csrf_token": token, "username": name, "password": "open sesame"}
        session.post(f"{origin}/account/sign-in", data=form, timeout=60, allow_redirects=False)
        session.get(f"{origin}{path}", timeout=60).raise_for_status()
        found: SimpleCookie = SimpleCookie(session.cookies.get_dict())
        return "; ".join(f"{each.key}={each.value}" for each in found.values())


@dataclass
class Side:
    """One of the two that are compared."""

    port: int
    pid: int
    path: str
    cookie: str
    count: int
    milliseconds: list[float] = field(default_factory=list)
    size: int = 0

    def rate(self) -> float:
        """Return how many answers came a second; note the processor time of one."""
        before = loading.processor_seconds(self.pid)
        load = loading.drive(self.port, [loading.get(self.path, self.cookie)] * self.count)
        spent = loading.processor_seconds(self.pid) - before
        self.milliseconds.append(spent / self.count * 1000)
        self.size = len(load.require(200).last)
        return load.rate


def _compare(pairs: int, sides: tuple[Side, Side]) -> dict[str, Any]:
    rows = [tuple(side.rate() for side in sides) for _ in range(pairs + 1)][1:]
    ratios = [second / first for first, second in rows]
    return {
        "ratio": round(median(ratios), 2),
        "ratios": [round(each, 2) for each in ratios],
        "rates": [round(median(row[side] for row in rows)) for side in (0, 1)],
        "cpu_ms": [round(median(side.milliseconds[1:]), 2) for side in sides],
        "bytes": [side.size for side in sides],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--database", required=True, help="PostgreSQL; everything in it is deleted")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(chosen.database, Path(folder), chosen.pairs, chosen.requests)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
