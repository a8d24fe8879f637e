"""kill -9 at a random moment: nothing that was acknowledged is lost, every event arrives."""

import os
import signal
import time
from pathlib import Path
from threading import Thread

import stripe

from tests.sandbox.process import client, control, free_port, received, receiver, start, stop


def create_until_it_dies(api: stripe.StripeClient, writer: int, acknowledged: list[str]) -> None:
    number = 0
    while True:
        number += 1
        try:
            made = api.v1.customers.create({"name": f"{writer}-{number}"})
        except stripe.APIConnectionError:
            return
        acknowledged.append(str(made.name))


def names() -> set[str]:
    return {event["data"]["object"]["name"] for event in received()}


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    port, database = free_port(), tmp_path / "sandbox.sqlite3"
    acknowledged: list[str] = []
    with receiver() as url:
        process = start(database, port)
        key = control(port, "POST", "/platforms", name="P")["secret_key"]
        client(port, key).v1.webhook_endpoints.create(
            {"url": url, "enabled_events": ["customer.created"]}
        )
        writers = [
            Thread(target=create_until_it_dies, args=(client(port, key), number, acknowledged))
            for number in range(3)
        ]
        for writer in writers:
            writer.start()
        time.sleep(1.0)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for writer in writers:
            writer.join()
        assert len(acknowledged) > 20

        process = start(database, port)
        try:
            stored = {
                str(each.name)
                for each in client(port, key).v1.customers.list({"limit": 100}).auto_paging_iter()
            }
            assert set(acknowledged) <= stored
            deadline = time.monotonic() + 30
            while names() < stored and time.monotonic() < deadline:
                time.sleep(0.1)
            assert stored <= names()
        finally:
            stop(process)
