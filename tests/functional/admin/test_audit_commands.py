"""The audit log and the command line: every command that changes something leaves its entry."""

import json
import os
import pwd
import socket

import click
import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from flask.cli import FlaskGroup, ScriptInfo

from portal.admin.audit import COMMANDS
from portal.extensions import db
from portal.models import AuditEntry, PublishRun, SignInGuard, User
from portal.services import audit as services
from portal.vault import vault

#: Commands that change nothing in the portal's database.
READING = {
    "doctor": ["doctor"],
    "reconcile": ["reconcile"],
    "secrets new-key": ["secrets", "new-key"],
    "usage calls": ["usage", "calls", "nobody"],
    "usage status": ["usage", "status"],
}
#: What each command that is noted is called with.
NOTED = {
    "oauth clean-up": [],
    "oauth rotate-keys": [],
    "people add": ["new", "--role", "admin"],
    "people password": ["dana"],
    "people unlock": ["dana"],
    "reconcile --repair": [],
    "secrets rotate": [],
    "usage import": ["calls.log"],
    "usage publish": [],
}
#: Commands that nobody uses on what is there, and why each is none of them.
OTHERS = {
    "demo": "makes its own portal, with its own people",
    "tour": "the same, and empties it",
    "sandbox": "another program, with a database of its own",
    "sandbox check": "talks to Stripe alone",
    "worker": "the background: what it does stands in each timeline",
    "usage tail": "a part of the gateway, which counts calls as the gateway does",
    "run": "Flask's own: serves the pages",
    "shell": "Flask's own: whatever is typed",
    "routes": "Flask's own: reads no database",
    "limiter": "Flask-Limiter's own: counts of requests, in no table",
    "db": "the tables themselves, not what they hold",
}
WHO = f"command line ({pwd.getpwuid(os.getuid()).pw_name})"


@pytest.fixture
def flask(app):
    """Run a command as ``flask`` does; return its result."""
    group = FlaskGroup(create_app=lambda: app)

    def run(*arguments):
        db.session.remove()
        return app.test_cli_runner().invoke(
            group, list(arguments), obj=ScriptInfo(create_app=lambda: app)
        )

    return run


@pytest.fixture
def entries():
    def found():
        db.session.rollback()
        return db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.audit_id)).all()

    return found


@pytest.fixture
def typed(flask, factories, engine, tmp_path, monkeypatch):
    """Run a command of :data:`NOTED` where there is something for it to change."""
    dana = factories.user("dana", "publisher")
    plan = factories.fixed_policy()
    api = factories.api("Weather", plan, provider=dana)
    factories.offer(api, plan, engine, "acct_publisher1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calls.log").write_text('{"id": "one"}\n')

    def run(name):
        return flask(*name.split(), *NOTED[name])

    return run


def leaves(command, context, path=""):
    """Yield the name of each command that can be typed; some groups stand for all of their own."""
    if isinstance(command, click.Group) and path not in ("db", "limiter"):
        if command.invoke_without_command and path:
            yield path
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            yield from leaves(found, context, f"{path} {name}".strip())
    else:
        yield path


def test_every_command_reads_only_or_is_noted(app):
    group = FlaskGroup(create_app=lambda: app)
    with click.Context(group, obj=ScriptInfo(create_app=lambda: app)) as context:
        known = set(leaves(group, context))
    assert known == {*READING, *NOTED, *OTHERS} - {"reconcile --repair"}
    assert {f"flask {name}" for name in NOTED} == set(COMMANDS)


@pytest.mark.parametrize("name", NOTED)
def test_a_command_that_changes_something_leaves_one_entry(typed, entries, factories, name):
    result = typed(name)
    assert result.exit_code in (0, 1), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    [entry] = entries()
    assert (entry.act, entry.path) == (f"flask {name}", f"flask {name}")
    assert (entry.actor, entry.user_id, entry.via) == (WHO, None, "command line")
    assert entry.address == socket.gethostname()
    assert entry.tenant_id == factories.tenant().tenant_id


@pytest.mark.parametrize("name", READING)
def test_a_command_that_reads_leaves_none(typed, flask, entries, name):
    result = flask(*READING[name])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert entries() == []


def test_an_entry_says_what_was_made_and_no_secret(typed, entries):
    secret = typed("people add").output.split()[-1]
    [entry] = entries()
    assert entry.target == "User new"
    [change] = [each for each in entry.changes if each["row"] == "User"]
    assert change["what"] == "made"
    assert change["fields"]["username"] == [None, "new"]
    assert change["fields"]["password_hash"] == ["none", "a new secret"]
    assert secret not in json.dumps(entry.changes)


def test_a_new_tenant_has_the_entry_that_made_it(flask, entries):
    assert flask("people", "add", "bea@blue.example", "--role", "admin").exit_code == 0
    [entry] = entries()
    assert entry.tenant_id == db.session.query(User).one().tenant_id
    assert {each["row"] for each in entry.changes} == {"Tenant", "User"}


def test_a_command_that_is_refused_leaves_none(typed, flask, entries):
    assert flask("people", "password", "nobody").exit_code == 1
    assert flask("people", "add", "dana", "--role", "admin").exit_code == 1
    assert flask("usage", "import", "calls.log", "--tenant", "nobody").exit_code == 1
    assert entries() == []


@pytest.mark.all_databases
def test_the_entry_and_the_change_are_one_transaction(app, flask, factories, monkeypatch):
    before = factories.user("dana", "publisher").password_hash

    def fails(*_arguments):
        raise RuntimeError

    monkeypatch.setattr(services, "entry", fails)
    assert isinstance(flask("people", "password", "dana").exception, RuntimeError)
    db.session.rollback()
    assert db.session.query(User).filter_by(username="dana").one().password_hash == before
    assert db.session.query(AuditEntry).count() == 0


def test_an_unlocking_is_noted_with_it(typed, flask, entries):
    assert db.session.query(SignInGuard).count() == 0
    assert "was not locked" in typed("people unlock").output
    [entry] = entries()
    assert entry.target == "User dana"


def test_each_tenant_has_its_own_entry_of_what_is_done_for_all(typed, entries, factories):
    factories.tenant("other.example")
    typed("usage publish")
    found = entries()
    assert [entry.act for entry in found] == ["flask usage publish"] * 2
    assert len({entry.tenant_id for entry in found}) == 2
    assert db.session.query(PublishRun).count() == 2


def test_many_transactions_of_one_command_are_one_entry(app, typed, entries, monkeypatch):
    known = [key.get_secret_value() for key in app.extensions["portal_settings"].encryption_keys]
    for name in ("_fernet", "_newest"):
        monkeypatch.setattr(vault, name, getattr(vault, name))
    vault.configure([Fernet.generate_key().decode(), *known])
    assert typed("secrets rotate").exit_code == 0
    [entry] = entries()
    told = {(each["row"], field) for each in entry.changes for field in each["fields"]}
    assert ("am_tenant", "platform_key_sealed") in told
    assert ("am_api", "monetization_properties_sealed") in told
    assert {tuple(pair) for each in entry.changes for pair in each["fields"].values()} == {
        ("a secret", "a new secret")
    }


def test_the_page_says_it_in_words(typed, app, factories, browser):
    typed("people password")
    factories.user("ada", "admin")
    browser.sign_in("ada").get("/admin/audit")
    assert "Gave a person a new password, by command" in browser.text
    assert WHO in browser.text
    browser.get("/admin/audit", query_string={"who": WHO, "act": "flask people password"})
    assert "Person dana" in browser.text
