"""kill -9 at a random moment: nothing that was acknowledged is lost, every event arrives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import requests
import stripe

TOKEN = "crash"


class _Receiver(BaseHTTPRequestHandler):
    names: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.names.append(body["data"]["object"]["name"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[str]:
    _Receiver.names = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def received() -> list[str]:
    """Return the names of the objects that the present receiver was told about, in order."""
    return list(_Receiver.names)


def free_port() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    port = server.server_port
    server.server_close()
    return port


def start(database: Path, port: int, **more: str) -> subprocess.Popen[bytes]:
    program = (
        "from portal.cli.sandbox import sandbox;"
        f"sandbox(['--port', '{port}', '--data', {str(database)!r},"
        " '--orderly', '--meter-lag', '0'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "SANDBOX_ADMIN_TOKEN": TOKEN, **more},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if requests.get(f"http://127.0.0.1:{port}/healthz", timeout=1).ok:
                return process
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.05)
    raise AssertionError("the sandbox did not start")


def control(port: int, method: str, path: str, /, **body: Any) -> Any:
    answer = requests.request(
        method,
        f"http://127.0.0.1:{port}/_sandbox{path}",
        json=body,
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
    )
    assert answer.ok, answer.text
    return answer.json()


def client(port: int, key: str) -> stripe.StripeClient:
    base = f"http://127.0.0.1:{port}"
    addresses: Any = {"api": base, "meter_events": base}
    return stripe.StripeClient(key, base_addresses=addresses, max_network_retries=0)


def create_until_it_dies(api: stripe.StripeClient, writer: int, acknowledged: list[str]) -> None:
    number = 0
    while True:
        number += 1
        try:
            made = api.v1.customers.create({"name": f"{writer}-{number}"})
        except stripe.APIConnectionError:
            return
        acknowledged.append(str(made.name))


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=20)


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
            while set(received()) < stored and time.monotonic() < deadline:
                time.sleep(0.1)
            assert stored <= set(received())
        finally:
            stop(process)
