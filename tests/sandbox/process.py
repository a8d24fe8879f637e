"""The sandbox as a process of its own, and a webhook endpoint that hears what it tells."""

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
    heard: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append(json.loads(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[str]:
    """A webhook endpoint that takes every event; yields its address."""
    _Receiver.heard = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def received() -> list[dict[str, Any]]:
    """Return the events that the present receiver was told, in order."""
    return list(_Receiver.heard)


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


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=20)
