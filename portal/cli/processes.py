"""The servers that `flask demo` and `flask tour` run: ports, start, readiness, orderly end."""

import ctypes
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import click

# gunicorn ends its workers itself on SIGTERM; what is left after this many seconds is killed.
STOP_SECONDS = 8.0
PR_SET_PDEATHSIG = 1
LAST_LINES = 6
# The path without its query, in which codes and session ids stand: none belongs into a log.
ACCESS_LOG = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(B)s %(L)ss'


class StartError(click.ClickException):
    """A server can't be started or has ended; the message is one sentence for people."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program to run: `name` is what people call it, and the stem of its log file."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Running:
    """A child that was started, with the file that holds what it printed."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """Return the last lines of the log, empty when it printed nothing."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return ports that nobody listens on, all different.

    Another program may take one before it is used; the server then says so.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(_bound(host, 0)) for _ in range(count)]
        return [int(found.getsockname()[1]) for found in sockets]


def require_port(host: str, port: int, option: str) -> None:
    """Raise `StartError` unless `host:port` can be listened on; `option` is what changes it."""
    try:
        with closing(_bound(host, port)):
            return
    except PermissionError as error:
        sentence = f"Port {port} needs more rights than you have: choose another with {option}."
        raise StartError(sentence) from error
    except (socket.gaierror, OverflowError) as error:
        raise StartError(f"{host}:{port} is no address of this machine.") from error
    except OSError as error:
        sentence = (
            f"Port {port} on {host} is taken by another program: stop it, or choose another "
            f"port with {option}."
        )
        raise StartError(sentence) from error


def gunicorn(
    name: str, app: str, host: str, port: int, env: Mapping[str, str], *, workers: int = 1
) -> Child:
    """Describe a gunicorn for `app` on `host:port` with eight threads in each worker.

    Neither a gunicorn.conf.py where the command is started nor GUNICORN_CMD_ARGS changes it.
    """
    shared = "/dev/shm"  # noqa: S108 (heartbeat files on a disk block workers under load)
    options = [
        # Any configuration keeps gunicorn from reading ./gunicorn.conf.py; this one sets nothing.
        "--config=python:portal.cli",
        f"--bind={_authority(host, port)}",
        f"--workers={workers}",
        "--worker-class=gthread",
        "--threads=8",
        # As in deploy/gunicorn.conf.py: a caller that reuses one must not meet its end.
        "--keep-alive=75",
        "--graceful-timeout=5",
        "--access-logfile=-",
        f"--access-logformat={ACCESS_LOG}",
        "--no-control-socket",
        *([f"--worker-tmp-dir={shared}"] if os.access(shared, os.W_OK) else []),
    ]
    command = [sys.executable, "-m", "gunicorn", *options, app]
    return Child(name, command, {"GUNICORN_CMD_ARGS": "", **env})


def portal_server(host: str, port: int, env: Mapping[str, str], *, workers: int = 2) -> Child:
    """Describe the portal under gunicorn, as `gunicorn wsgi:app` runs it."""
    return gunicorn("portal", "wsgi:app", host, port, env, workers=workers)


def sandbox_server(host: str, port: int, env: Mapping[str, str]) -> Child:
    """Describe the Stripe sandbox; one worker, because its clock and deliveries are threads."""
    app = "portal.sandbox.app:create_sandbox_from_environment()"
    return gunicorn("sandbox", app, host, port, env)


def backend_server(host: str, port: int) -> Child:
    """Describe the back end whose APIs the demo sells."""
    env = {"BACKEND_BASE_URL": f"http://{_authority(host, port)}"}
    return gunicorn("backend", "portal.cli.demo_backend:create_backend()", host, port, env)


def flask_command(name: str, *arguments: str, env: Mapping[str, str]) -> Child:
    """Describe a command of the portal, such as ``flask worker``, in a process of its own."""
    return Child(name, [sys.executable, "-m", "flask", "--app", "wsgi:app", *arguments], env)


class Servers:
    """Children that live as long as the ``with`` block, stopped last one first.

    Use it in the main thread: it takes SIGTERM and SIGHUP for the time of the block and turns
    them into KeyboardInterrupt. On Linux the children end with this process, however it dies.
    """

    def __init__(self, folder: Path) -> None:
        """Keep one log file per child in `folder`, which is created."""
        self.folder = folder
        self.running: list[Running] = []
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            sentence = f"The folder {self.folder} can't be written: {error.strerror}."
            raise StartError(sentence) from error
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, _interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ignored = {number: signal.signal(number, signal.SIG_IGN) for number in self._before}
        try:
            self.stop()
        finally:
            for number in ignored:
                signal.signal(number, self._before[number])

    def start(self, child: Child) -> Running:
        """Start a child in a session of its own, so that Ctrl-C reaches only this process."""
        log = self.folder / f"{child.name}.log"
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(  # noqa: S603 (the commands are built in this module)
                    child.command,
                    env={**os.environ, "FLASK_SKIP_DOTENV": "1", **child.env},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent(),
                )
        except OSError as error:
            raise StartError(f"The {child.name} can't be started: {error}.") from error
        running = Running(child.name, process, log)
        self.running.append(running)
        return running

    def wait_until_answers(
        self,
        running: Running,
        url: str,
        seconds: float = 30.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Return once `url` answers 2xx; raise `StartError` if the child ends or time is up.

        `context` names whom to trust where the certificate is not a public one.
        """
        end = time.monotonic() + seconds
        while not _answers(url, context):
            if running.process.poll() is not None:
                raise StartError(_ended(running))
            if time.monotonic() > end:
                sentence = f"The {running.name} did not answer at {url} within {seconds:g} s."
                raise StartError(f"{sentence} Its log is {running.log}\n{running.last_words()}")
            time.sleep(0.05)

    def watch(self, seconds: float | None = None) -> None:
        """Wait, for ever by default; raise `StartError` as soon as a child ends by itself."""
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            for running in self.running:
                if running.process.poll() is not None:
                    raise StartError(_ended(running))
            time.sleep(0.25)

    def stop(self, names: Iterable[str] | None = None) -> None:
        """Stop the named children, or all, the last started first; again does nothing."""
        chosen = {running.name for running in self.running} if names is None else set(names)
        for running in reversed(self.running):
            if running.name in chosen:
                _stop(running.process)
        self.running = [running for running in self.running if running.name not in chosen]


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        # As gunicorn does: a port that a stopped server just left counts as free.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(1)
    except BaseException:
        found.close()
        raise
    return found


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _answers(url: str, context: ssl.SSLContext | None) -> bool:
    # Without the proxy of the environment: it could not reach this machine's loopback.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        # Anything but a 2xx is raised by the opener.
        with opener.open(url, timeout=2):
            return True
    except (OSError, http.client.HTTPException):
        return False


def _ended(running: Running) -> str:
    sentence = f"The {running.name} ended by itself ({running.process.returncode})."
    return f"{sentence} Its log is {running.log}\n{running.last_words()}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            # With its workers: they share its group, which is still its own until it is waited for.
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return arm


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
