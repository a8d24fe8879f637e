"""A portal and a Stripe sandbox in processes of their own, which tests kill, stop and starve."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa
from cryptography.fernet import Fernet
from flask import Flask, current_app

from portal import create_app
from portal.cli.demo.keeping import Platform
from portal.cli.demo.sandbox import SandboxControl
from portal.cli.processes import Running, Servers, free_ports, gunicorn
from portal.cli.tour.browser import Browser
from portal.config import Settings
from portal.crashpoints import VARIABLE
from portal.extensions import WRITES, db
from portal.flows import draining
from portal.models import Subscription, Tenant
from tests.support.factories import Factories

ROOT = str(Path(__file__).parents[2])
KINDS = ("sqlite", "postgresql", "mysql")
TOKEN = "the-token-of-real-tests"
_KEY = Fernet.generate_key().decode()
_SECRET = "a-secret-key-of-real-portals-0123456789"


@dataclass
class Stack:
    """The servers, which many tests share: one gunicorn with a port for each database."""

    folder: Path
    servers: Servers
    portal: Running
    sandbox: str
    ports: dict[str, int]
    settings: dict[str, dict[str, Any]]

    @property
    def crash_file(self) -> Path:
        return self.folder / "crash-at"

    def workers(self) -> list[int]:
        """Return the process ids of the portal's workers."""
        pid = self.portal.process.pid
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(each) for each in text.split()]

    def kill_a_worker(self, index: int = 0) -> bool:
        """End a worker at once; gunicorn starts another. Returns whether there was one."""
        found = self.workers()
        if not found:
            return False
        with suppress(ProcessLookupError):
            os.kill(found[index % len(found)], signal.SIGKILL)
        return True


@contextmanager
def stack(folder: Path, urls: dict[str, str], *, workers: int = 2) -> Iterator[Stack]:
    """Run the portal on these databases, and a sandbox, as long as the block."""
    ports = dict(zip([*urls, "sandbox"], free_ports(len(urls) + 1), strict=True))
    sandbox = f"http://127.0.0.1:{ports['sandbox']}"
    settings = {
        kind: {
            "secret_key": _SECRET,
            "encryption_keys": [_KEY],
            "database_url": url,
            "portal_base_url": f"http://127.0.0.1:{ports[kind]}",
            "stripe_api_base": sandbox,
            "sandbox_base_url": sandbox,
            "backend_allowlist": ["http://127.0.0.1"],
            "queue_url": "memory",
            "PORTAL_INSTANCE": str(folder / "instance"),
        }
        for kind, url in urls.items()
    }
    with ExitStack() as held:
        servers = held.enter_context(Servers(folder / "logs"))
        child = gunicorn(
            "sandbox",
            "tests.support.real_sandbox:application",
            "127.0.0.1",
            ports["sandbox"],
            {
                "SANDBOX_DATABASE": str(folder / "sandbox.sqlite3"),
                "SANDBOX_BASE_URL": sandbox,
                "SANDBOX_ADMIN_TOKEN": TOKEN,
                "SANDBOX_ORDERLY": "1",
                "PYTHONPATH": ROOT,
                "NO_PROXY": "127.0.0.1",
            },
        )
        running = servers.start(child)
        env = {
            VARIABLE: str(folder / "crash-at"),
            "REAL_PORTALS": json.dumps({ports[kind]: of for kind, of in settings.items()}),
            "PYTHONPATH": ROOT,
            "NO_PROXY": "127.0.0.1",
        }
        first, *more = (ports[kind] for kind in urls)
        child = gunicorn(
            "portal", "tests.support.real_wsgi:application", "127.0.0.1", first, env,
            workers=workers,
        )  # fmt: skip
        binds = [f"--bind=127.0.0.1:{port}" for port in more]
        command = [*child.command[:-1], "--preload", *binds, child.command[-1]]
        portal = servers.start(type(child)(child.name, command, child.env))
        servers.wait_until_answers(running, f"{sandbox}/healthz", 60)
        for kind in urls:
            servers.wait_until_answers(portal, f"http://127.0.0.1:{ports[kind]}/healthz", 60)
        yield Stack(folder, servers, portal, sandbox, ports, settings)


@dataclass(frozen=True)
class Bought:
    """A subscription that was paid. No transaction stays open for it: it would hold SQLite."""

    number: int
    uuid: str
    account: str
    engine_id: str

    @property
    def status(self) -> str:
        """Its status now."""
        db.session.rollback()
        status = str(db.session.get_one(Subscription, self.number).status)
        db.session.rollback()
        return status


@dataclass
class Real:
    """One database's portal for one test, with a tenant and a platform of its own."""

    stack: Stack
    kind: str
    app: Flask
    control: SandboxControl
    platform: Platform = field(init=False)
    secret: str = ""
    factories: Factories = field(default_factory=Factories)
    #: Events that were answered 2xx, for I1.
    answered: set[str] = field(default_factory=set)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.stack.ports[self.kind]}"

    @property
    def webhook(self) -> str:
        return f"{self.origin}/api/am/stripe/webhook?tenantDomain=carbon.super"

    def anew(self) -> None:
        """Empty the database and the sandbox, and begin with a tenant whose platform is new."""
        self.stack.crash_file.unlink(missing_ok=True)
        # What it still had to send would reach a portal that knows nothing of it.
        self.control.post("/reset")
        db.session.remove()
        empty()
        self.platform = self.control.create_platform("Platform")
        tenant = self.factories.tenant(key=self.platform.secret_key)
        self.secret = _hear(self, tenant)

    def browser(self, username: str) -> Browser:
        """A person who has signed in through the page."""
        found = Browser(self.origin, username)
        found.open("/account/sign-in")
        found.press("Sign in", {"username": username, "password": "open sesame"})
        return found

    def connect(self, name: str = "Publisher") -> str:
        """Connect an account of a publisher."""
        return self.control.create_account(self.platform, name, "US", "usd")

    def objects(self, kind: str, account: str) -> list[dict[str, Any]]:
        """Return what the sandbox holds of a kind in an account."""
        return self.control.get("/objects", kind=kind, account=account)

    def sell(self, account: str, *, name: str = "Gold") -> "Bought":
        """Sell a plan of 9.99 USD a month, and let somebody pay; all but events is done here."""
        number = self.pay(account, name=name)
        self.settle()
        row = db.session.get_one(Subscription, number)
        found = Bought(number, row.uuid, account, str(row.engine_subscription_id))
        db.session.rollback()
        return found

    def pay(self, account: str, *, name: str = "Gold") -> int:
        """Let somebody subscribe and pay, and nobody tell the portal; return the row's id."""
        from portal.flows import payments
        from portal.services import subscribing
        from portal.services.checkouts import ReturnUrls
        from portal.web.engines import engine_of
        from portal.web.unit_of_work import unit_of_work

        make = self.factories
        policy = make.fixed_policy(name=name)
        api = make.api(None, policy)
        engine = engine_of(api.tenant)
        make.offer(api, policy, engine, account)
        owner = make.user(None, "subscriber")
        application = make.application(owner=owner)
        with unit_of_work():
            row = subscribing.subscribe(owner, application, api, policy)
            uuid, number = row.uuid, row.subscription_id
        back = f"{self.origin}/?session_id={{CHECKOUT_SESSION_ID}}"
        payments.open_page(engine, uuid, owner.user_id, ReturnUrls(success=back, cancel=back))
        session = self.objects("checkout.session", account)[0]["id"]
        self.control.post(f"/checkout/sessions/{session}/pay")
        return number

    @property
    def logs(self) -> list[Path]:
        """What the portal's processes have printed."""
        return [self.stack.portal.log]

    def crash(self, point: str, number: int = 1) -> None:
        """Let the portal's process die when it arrives at a point for the n-th time."""
        self.stack.crash_file.write_text(f"{point} {number}")

    @property
    def has_crashed(self) -> bool:
        """Whether the process died since :meth:`crash`; otherwise the plan is called off."""
        has = not self.stack.crash_file.exists()
        self.stack.crash_file.unlink(missing_ok=True)
        return has

    def wait(self, seconds: float = 20.0) -> None:
        """Wait until a worker answers again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if requests.get(f"{self.origin}/healthz", timeout=5).ok:
                    return
            except requests.RequestException:
                time.sleep(0.02)
        raise AssertionError("The portal did not come back.")

    def settle(self) -> None:
        """Let every webhook arrive, and what the worker does follow.

        What was on its way when a process died is sent again at once, as it would be later.
        """
        from portal import jobs

        for _ in range(5):
            self.tick()
            waiting = {row["event"] for row in self.control.get("/deliveries", state="pending")}
            for event in waiting:
                self.control.post(f"/events/{event}/resend")
            if not waiting:
                break
        with self.app.app_context():
            jobs.sweep()
            db.session.remove()

    def tick(self) -> None:
        """Let the sandbox send what it has to send, once."""
        for _ in range(50):
            if not any(self.control.post("/tick").values()):
                return


@contextmanager
def real(stack_: Stack, kind: str) -> Iterator[Real]:
    """Give a test an empty database, and a tenant whose platform is new at the sandbox."""
    control = SandboxControl(stack_.sandbox, TOKEN)
    app = create_app(Settings(**stack_.settings[kind]))
    with app.app_context():
        # The portal writes at the same time: on SQLite one that reads first would have to give way.
        db.engine.update_execution_options(**{WRITES: True})
        found = Real(stack_, kind, app, control)
        found.anew()
        try:
            yield found
        finally:
            # What it still had to send would reach the next test's portal.
            control.post("/reset")
            db.session.remove()
            # The tests that run on the same database afterwards, in any order, count rows.
            empty()
            db.engine.dispose()


def _hear(found: Real, tenant: Tenant) -> str:
    from portal.flows import setting_up
    from portal.web.engines import engine_of

    setting_up.register_webhook(engine_of(tenant), tenant.tenant_id, found.webhook)
    db.session.rollback()
    return str(db.session.get_one(Tenant, tenant.tenant_id).webhook_secrets[0])


def empty() -> None:
    """Delete every row of the running app's database, and the calls that wait to come into it."""
    shutil.rmtree(draining.folder_of(current_app.extensions["portal_settings"]), ignore_errors=True)
    with db.engine.begin() as connection:
        for table in reversed(db.Model.metadata.sorted_tables):
            connection.execute(sa.delete(table))


def urls(folder: Path, empty_sqlite: Path, server_url: Any, kinds: tuple[str, ...]) -> dict:
    """Return the addresses of the databases that are there."""
    shutil.copy(empty_sqlite, folder / "portal.sqlite3")
    return {
        kind: f"sqlite:///{folder / 'portal.sqlite3'}" if kind == "sqlite" else server_url(kind)
        for kind in kinds
    }
