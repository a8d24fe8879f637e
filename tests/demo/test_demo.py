"""`flask demo` as a person starts it: once from nothing, again with what it kept, anew."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from portal.cli.processes import free_ports
from portal.cli.tour.browser import Browser

KEPT = ("PATH", "HOME", "LANG")
SECONDS = 90


@dataclass
class Started:
    """A demo that answers, and what it said of itself."""

    process: subprocess.Popen[str]
    said: dict[str, Any]
    ports: tuple[int, int]

    def browser(self, name: str, password: str = "") -> Browser:
        browser = Browser(self.said["portal"], name)
        browser.open("/account/sign-in")
        password = password or self.said["users"][name]["password"]
        browser.press("Sign in", {"username": name, "password": password})
        return browser

    def interrupt(self) -> int:
        """Press Ctrl-C; return how it ended."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=SECONDS)


def command(folder: Path, ports: tuple[int, int], *more: str) -> list[str]:
    options = ["--data", str(folder / "data"), "--port", str(ports[0])]
    return [
        sys.executable, "-m", "flask", "demo", *options, "--sandbox-port", str(ports[1]), *more,
    ]  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    # Settings of whoever runs this must not reach the demo.
    return {name: os.environ[name] for name in KEPT if name in os.environ} | more


@contextmanager
def started(folder: Path, *more: str) -> Iterator[Started]:
    first, second = free_ports(2)
    log = folder / "stderr"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command(folder, (first, second), "--json", *more),
            # Away from the repository, as with an installed wheel.
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Started(process, json.loads(line), (first, second))
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)
        process.stdout.close()


def refused(folder: Path, ports: tuple[int, int], **more: str) -> str:
    """Start a demo that can't start; return the one sentence that it says."""
    ended = subprocess.run(
        command(folder, ports),
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    return ended.stderr


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Started]:
    with started(folder) as running:
        yield running


def test_the_first_line_is_the_object_of_the_contract(demo):
    said = demo.said
    assert said["portal"] == f"http://127.0.0.1:{demo.ports[0]}"
    assert said["sandbox"] == f"http://127.0.0.1:{demo.ports[1]}"
    assert said["tenant"] == "carbon.super"
    assert said["tenants"] == ["carbon.super", "bluewater.example"]
    assert {name: user["username"] for name, user in said["users"].items()} == {
        "admin": "admin", "publisher": "publisher", "developer": "developer",
    }  # fmt: skip
    assert {name: text.split("_")[0] for name, text in said["stripe"].items()} == {
        "secret_key": "sk",
        "webhook_secret": "whsec",
        "connected_account": "acct",
        "sandbox_admin_token": said["stripe"]["sandbox_admin_token"].split("_")[0],
    }
    assert said["stripe"]["secret_key"].startswith("sk_test_sandbox_")


def test_both_servers_answer_when_it_is_printed(demo):
    for path in (f"{demo.said['portal']}/readyz", f"{demo.said['sandbox']}/healthz"):
        assert requests.get(path, timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("name", "home"),
    [("admin", "/admin/"), ("publisher", "/publisher/"), ("developer", "/devportal/")],
)
def test_everybody_can_sign_in(demo, name, home):
    assert demo.browser(name).page.path == home


def test_a_developer_can_subscribe_at_once_to_apis_of_both_publishers(demo):
    page = demo.browser("developer").page
    page.says("Currency and Locale", "Numbers", "Calendar", "Paul Publisher", "Petra Publisher")
    page.says("9.99 USD per month", "0.0025 USD per Request", "500 JPY per month")


def test_the_other_company_has_people_plans_and_apis_of_its_own(demo, folder):
    kept = json.loads((folder / "data" / "demo.json").read_text())
    name = "developer@bluewater.example"
    page = demo.browser(name, kept["passwords"][name]).page
    page.says("Calendar", "Bea Publisher").says_not("Numbers", "Petra Publisher")


def test_each_publisher_has_a_connected_account_and_each_company_a_platform(demo):
    token = demo.said["stripe"]["sandbox_admin_token"]
    listed = requests.get(
        f"{demo.said['sandbox']}/_sandbox/accounts",
        headers={"Authorization": f"Bearer {token}"},
        timeout=5,
    ).json()["data"]
    platforms = {account["id"] for account in listed if account["platform"] == account["id"]}
    connected = [account["platform"] for account in listed if account["id"] not in platforms]
    assert sorted(connected.count(platform) for platform in platforms) == [1, 2]


def test_secrets_and_passwords_are_in_no_log(demo, folder):
    secret = [demo.said["stripe"]["secret_key"], demo.said["stripe"]["webhook_secret"]]
    secret += [user["password"] for user in demo.said["users"].values()]
    logs = list((folder / "data" / "logs").iterdir())
    assert {log.name for log in logs} == {"backend.log", "portal.log", "sandbox.log"}
    written = "".join(log.read_text() for log in logs)
    assert [text for text in secret if text in written] == []


def test_a_taken_port_is_said_in_a_sentence(demo, folder, tmp_path):
    (other,) = free_ports(1)
    said = refused(tmp_path, (demo.ports[0], other))
    assert f"Port {demo.ports[0]} on 127.0.0.1 is taken" in said
    assert "--port" in said
    assert "--sandbox-port" in refused(tmp_path, (other, demo.ports[1]))
    assert not (tmp_path / "data").exists()


def test_a_second_demo_in_the_same_folder_is_refused(demo, folder):
    assert "Another demo is running" in refused(folder, tuple(free_ports(2)))


def test_a_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path):
    (tmp_path / "data").touch()
    assert "can't be written" in refused(tmp_path, tuple(free_ports(2)))


def test_a_database_that_does_not_answer_is_said_in_a_sentence(tmp_path):
    said = refused(tmp_path, tuple(free_ports(2)), DATABASE_URL="postgresql://u:pw@127.0.0.1:9/x")
    assert "does not answer" in said
    assert ":pw@" not in said


def test_it_keeps_everything_until_it_is_reset(tmp_path):
    with started(tmp_path) as first:
        browser = first.browser("developer")
        browser.open("/devportal/applications/new")
        browser.press("Create application", {"name": "Kept over night"})
        assert first.interrupt() == 0
        assert all(is_free(port) for port in first.ports)
    with started(tmp_path) as second:
        assert second.said["users"] == first.said["users"]
        assert second.said["stripe"] == first.said["stripe"]
        assert second.said["portal"] != first.said["portal"]
        browser = second.browser("developer")
        browser.open("/devportal/applications").says("Kept over night")
        key = first_key(browser)
        answer = requests.get(
            f"{second.said['portal']}/gateway/calendar/2.0.0/months?locale=de&width=wide",
            headers={"ApiKey": key},
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        token = second.said["stripe"]["sandbox_admin_token"]
        assert endpoints(second.said["sandbox"], token) == {second.said["portal"]}
    with started(tmp_path, "--reset") as third:
        assert third.said["users"] != first.said["users"]
        page = third.browser("developer").open("/devportal/applications")
        page.says("Travel Planner").says_not("Kept over night")


def first_key(browser: Browser) -> str:
    """Subscribe the demo's application to the free plan; return a key that calls."""
    browser.open("/devportal/")
    browser.follow("Calendar")
    browser.follow("Subscribe")
    browser.press("Continue", {"application": "Travel Planner", "policy": "Free"})
    browser.press("Subscribe")
    browser.open("/devportal/applications")
    browser.follow("Travel Planner")
    page = browser.press("Generate production key")
    return next(item.words for item in page.root.all("code") if item.words.startswith("amp_live"))


def endpoints(sandbox: str, token: str) -> set[str]:
    """Return the origins to which the sandbox sends events."""
    listed = requests.get(
        f"{sandbox}/_sandbox/objects?kind=webhook_endpoint",
        headers={"Authorization": f"Bearer {token}"},
        timeout=5,
    ).json()["data"]
    return {item["url"].split("/api/")[0] for item in listed}
