"""`flask sandbox`, its storage and the lock of its background work."""

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from portal.cli.sandbox import sandbox
from portal.sandbox.app import create_sandbox
from portal.sandbox.background import Background
from portal.sandbox.settings import SandboxSettings, from_environment
from portal.sandbox.store import Store
from tests.sandbox.conftest import World


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(sandbox, list(arguments))
    return result.exit_code, result.output


def test_it_stays_on_this_machine_unless_told_otherwise(tmp_path: Path) -> None:
    code, text = run("--host", "0.0.0.0", "--data", str(tmp_path / "x.sqlite3"))  # noqa: S104
    assert code == 1
    assert "--allow-remote" in text


def test_a_taken_port_and_an_unwritable_folder_are_one_sentence_each(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, text = run("--port", port, "--data", str(tmp_path / "x.sqlite3"))
    assert code == 1
    assert "taken" in text
    (tmp_path / "file").write_text("")
    code, text = run("--data", str(tmp_path / "file" / "x.sqlite3"))
    assert code == 1
    assert text.startswith("Error: Can't write")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOX_DATABASE", raising=False)
    with pytest.raises(RuntimeError, match="SANDBOX_DATABASE"):
        from_environment()
    monkeypatch.setenv("SANDBOX_DATABASE", "x.sqlite3")
    monkeypatch.setenv("SANDBOX_BASE_URL", "https://pay.example/")
    monkeypatch.setenv("SANDBOX_ORDERLY", "1")
    monkeypatch.setenv("SANDBOX_METER_LAG", "5")
    settings = from_environment()
    assert (settings.base_url, settings.orderly, settings.meter_lag) == (
        "https://pay.example",
        True,
        5,
    )
    monkeypatch.setenv("SANDBOX_METER_LAG", "soon")
    with pytest.raises(RuntimeError, match="whole numbers"):
        from_environment()


def test_one_process_only_runs_the_background_work_of_a_file(tmp_path: Path) -> None:
    settings = SandboxSettings(database=str(tmp_path / "x.sqlite3"))
    app = create_sandbox(settings)
    first, second = (Background(app.extensions["sandbox"]) for _ in range(2))
    try:
        assert first.start() is True
        assert second.start() is False
        first.stop()
        assert second.start() is True
    finally:
        second.stop()
        app.extensions["sandbox"].store.close()


def test_a_transaction_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "x.sqlite3"))
    record = {"id": "cus_1", "object": "customer", "_account": "acct_1", "created": 1}

    def interrupted() -> None:
        with store.write() as db:
            db.insert(record)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    with store.read() as db:
        assert db.find("customer", "cus_1") is None
    with store.write() as db:
        db.insert(record)
    store.close()
    again = Store(str(tmp_path / "x.sqlite3"))
    with again.read() as db:
        assert db.find("customer", "cus_1") == record
        with pytest.raises(LookupError):
            db.need("customer", "acct_1", "cus_2")
    again.close()


def test_usage_counts_once_its_lag_has_passed(tmp_path: Path, world: World) -> None:
    settings = world.app.extensions["sandbox"].settings
    lagging = SandboxSettings(
        database=str(tmp_path / "lag.sqlite3"),
        admin_token=settings.admin_token,
        meter_lag=5,
        strict=True,
    )
    app = create_sandbox(lagging, clock=world.clock)
    slow = World(app, world.clock, "", "", "")
    made = slow.control("/platforms", name="P")
    slow.key = made["secret_key"]
    slow.account = slow.control("/accounts", platform=made["account"])["id"]
    subscription = slow.subscribe(slow.metered("100"))
    slow.api.v1.billing.meter_events.create(
        {
            "event_name": "calls",
            "payload": {"stripe_customer_id": str(subscription.customer), "value": "2"},
        }
    )
    totals = []
    for _ in range(2):
        preview = slow.api.v1.invoices.create_preview({"subscription": subscription.id})
        totals.append(preview.total)
        slow.clock.advance(5)
    assert totals == [0, 200]
    app.extensions["sandbox"].store.close()


def test_a_reset_forgets_accounts_and_keys(world: World) -> None:
    world.subscribe(world.licensed())
    assert world.control("/reset") == {"reset": True}
    assert world.look("/accounts") == []
    assert world.look("/objects") == []
    assert world.app.test_client().get("/v1/account", auth=(world.key, "")).status_code == 401
