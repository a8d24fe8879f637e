"""`flask sandbox check`: its guesses are what the sandbox does, and its questions are complete."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portal.cli.live_check.points import POINTS
from portal.cli.sandbox import sandbox
from tests.sandbox.process import control, free_port, start, stop

DOCUMENT = Path(__file__).parents[2] / "docs" / "sandbox.md"
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*words: str, **environment: str) -> Result:
        for name in ("STRIPE_TEST_KEY", "STRIPE_API_BASE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(sandbox, ["check", *words])

    return call


def test_it_lists_every_point_with_what_would_settle_it(run: Run) -> None:
    told = run()
    assert told.exit_code == 0
    for point in POINTS:
        assert f"{point.name}: {point.question}" in told.output
        assert point.command in told.output
    assert "nothing was asked" not in told.output


def test_without_a_key_it_says_what_it_would_do(run: Run) -> None:
    told = run("--live")
    assert told.exit_code == 0
    assert "STRIPE_TEST_KEY is not set: nothing was asked." in told.output
    assert "https://api.stripe.com" in told.output


@pytest.mark.parametrize(
    ("key", "words"),
    [("sk_live_x", "not a test key"), ("sk_test_sandbox_x", "a key of the sandbox")],
)
def test_a_wrong_key_is_not_sent(run: Run, key: str, words: str) -> None:
    refused = run("--live", STRIPE_TEST_KEY=key)
    assert refused.exit_code == 1
    assert words in refused.output
    assert key not in refused.output


def test_an_unknown_point_is_named(run: Run) -> None:
    refused = run("--only", "nothing")
    assert refused.exit_code == 1
    assert "There is no point nothing." in refused.output


def test_the_document_has_every_point() -> None:
    text = DOCUMENT.read_text()
    missing = [each.name for each in POINTS if f"`{each.name}`" not in text]
    assert missing == []


def test_the_sandbox_does_what_the_points_say(run: Run, tmp_path: Path) -> None:
    port = free_port()
    process = start(tmp_path / "sandbox.sqlite3", port, SANDBOX_STRICT="1")
    try:
        made = control(port, "POST", "/platforms", name="P")
        base = f"http://127.0.0.1:{port}"
        asked = run("--live", STRIPE_TEST_KEY=made["secret_key"], STRIPE_API_BASE=base)
    finally:
        stop(process)
    by_hand = sum(point.probe is None for point in POINTS)
    assert f"{len(POINTS) - by_hand} same, 0 differs, 0 unsettled, {by_hand} by hand" in (
        asked.output
    ), asked.output
    assert asked.exit_code == 0
