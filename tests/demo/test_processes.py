"""The demo's servers start, are waited for, and leave nothing behind."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import pytest

from portal.cli.processes import (
    Child,
    Servers,
    StartError,
    backend_server,
    free_ports,
    require_port,
)

ANSWERING = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["WORD"].encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
NOTING_ITS_END = """
import signal, sys, time
def end(number, frame):
    with open(sys.argv[1], "a") as file: file.write(sys.argv[2])
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
RUNNING_A_CHILD = """
import pathlib, sys, time
from portal.cli.processes import Child, Servers
with Servers(pathlib.Path(sys.argv[1])) as servers:
    child = servers.start(Child("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"]))
    print(child.process.pid, flush=True)
    servers.watch()
"""


def python(name: str, source: str, *arguments: str, **env: str) -> Child:
    return Child(name, [sys.executable, "-c", source, *arguments], env)


def wait_for_text(path: Path, text: str) -> None:
    end = time.monotonic() + 20
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < end, f"{text!r} never appeared in {path.name}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_dead(pid: int) -> None:
    end = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < end, f"process {pid} lives on"
        time.sleep(0.02)


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        require_port("127.0.0.1", port, "--port")


def test_a_taken_port_is_told_in_one_sentence_with_its_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as refused:
            require_port("127.0.0.1", port, "--sandbox-port")
    assert refused.value.message == (
        f"Port {port} on 127.0.0.1 is taken by another program: stop it, or choose another port "
        "with --sandbox-port."
    )
    assert refused.value.exit_code == 1


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70000)])
def test_an_address_that_is_none_is_told(host: str, port: int) -> None:
    with pytest.raises(StartError, match="no address of this machine"):
        require_port(host, port, "--port")


def test_a_child_answers_with_the_environment_it_was_given(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with Servers(tmp_path / "logs") as servers:
        child = servers.start(python("echo", ANSWERING, str(port), WORD="hello"))
        servers.wait_until_answers(child, f"http://127.0.0.1:{port}/")
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").read().endswith(b"hello")
        pid = child.process.pid
    assert not is_alive(pid)
    require_port("127.0.0.1", port, "--port")


def test_children_are_stopped_last_one_first_and_once(tmp_path: Path) -> None:
    order = tmp_path / "order"
    with Servers(tmp_path) as servers:
        for name in ("a", "b", "c"):
            servers.start(python(name, NOTING_ITS_END, str(order), name))
            wait_for_text(tmp_path / f"{name}.log", "ready")
        servers.stop(["b"])
        assert order.read_text() == "b"
    servers.stop()
    assert order.read_text() == "bca"


def test_a_child_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        child = servers.start(python("hasty", "raise SystemExit('no database here')"))
        with pytest.raises(StartError, match=r"The hasty ended by itself \(1\)") as failed:
            servers.wait_until_answers(child, "http://127.0.0.1:9/")
    assert failed.value.message.endswith("no database here")


def test_a_child_that_never_answers_is_given_up(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with Servers(tmp_path) as servers:
        child = servers.start(python("mute", "import time; time.sleep(60)"))
        with pytest.raises(StartError, match=r"did not answer .* within 0\.2 s"):
            servers.wait_until_answers(child, f"http://127.0.0.1:{port}/", seconds=0.2)


def test_the_watch_ends_when_a_child_does(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        servers.start(python("brief", "import time; time.sleep(0.3)"))
        servers.watch(seconds=0.0)
        with pytest.raises(StartError, match=r"The brief ended by itself \(0\)"):
            servers.watch(seconds=20)


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        Servers(tmp_path) as servers,
        pytest.raises(StartError, match="The ghost can't be started"),
    ):
        servers.start(Child("ghost", ["/no/such/program"]))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    servers = Servers(tmp_path / "file" / "logs")
    with pytest.raises(StartError, match=r"The folder .* can't be written"):
        servers.__enter__()


def test_a_child_that_ignores_the_request_to_stop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.cli.processes.STOP_SECONDS", 0.2)
    with Servers(tmp_path) as servers:
        child = servers.start(python("deaf", DEAF))
        wait_for_text(child.log, "ready")
    assert child.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_parent_ends_the_children(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNING_A_CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(number)
        parent.wait(20)
    assert not is_alive(child)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNING_A_CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait(20)
    wait_until_dead(child)


def test_handlers_of_the_program_are_put_back(tmp_path: Path) -> None:
    def own(number: int, frame: FrameType | None) -> None: ...

    before = signal.signal(signal.SIGTERM, own)
    try:
        with Servers(tmp_path):
            assert signal.getsignal(signal.SIGTERM) is not own
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_back_end_runs_under_gunicorn_and_names_itself(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    origin = f"http://127.0.0.1:{port}"
    with Servers(tmp_path) as servers:
        child = servers.start(backend_server("127.0.0.1", port))
        servers.wait_until_answers(child, f"{origin}/healthz")
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /numbers/openapi.json?secret=word HTTP/1.0\r\n\r\n")
            body = connection.makefile("rb").read().decode()
    assert f'"{origin}/numbers"' in body
    wait_for_text(child.log, "GET /numbers/openapi.json")
    assert "secret=word" not in child.log.read_text()


def test_a_server_ignores_the_gunicorn_settings_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("raise SystemExit('stray settings')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--bind=127.0.0.1:1")
    (port,) = free_ports(1)
    with Servers(tmp_path / "logs") as servers:
        child = servers.start(backend_server("127.0.0.1", port))
        servers.wait_until_answers(child, f"http://127.0.0.1:{port}/healthz")
        assert "stray settings" not in child.log.read_text()
