"""What a demo is asked for, what it keeps, and what it does with databases."""

import stat

import pytest
import sqlalchemy as sa

from portal.cli.demo import database, keeping, stack
from portal.cli.demo.keeping import Kept
from portal.cli.demo.options import Options, database_folder, from_command_line, origin
from portal.cli.processes import StartError
from portal.extensions import db


def asked(tmp_path, *, port=8200, sandbox_port=8201, host="127.0.0.1", **environment) -> Options:
    return from_command_line(
        host=host, port=port, sandbox_port=sandbox_port, data=tmp_path, environment=environment
    )


def test_without_an_environment_people_see_where_it_listens(tmp_path):
    options = asked(tmp_path)
    assert options.portal == "http://127.0.0.1:8200"
    assert options.sandbox == "http://127.0.0.1:8201"
    assert options.folder == tmp_path


def test_behind_a_proxy_people_see_the_public_origins(tmp_path):
    options = asked(
        tmp_path, PORTAL_BASE_URL="https://demo.example/", SANDBOX_BASE_URL="https://pay.example"
    )
    assert options.portal == "https://demo.example"
    assert options.sandbox == "https://pay.example"
    assert options.portal_inside == "http://127.0.0.1:8200"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),  # noqa: S104
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("demo.example", "http://demo.example:1"),
    ],
)
def test_servers_of_this_machine_reach_one_another(host, expected):
    assert origin(host, 1) == expected


@pytest.mark.parametrize("url", ["demo.example", "ftp://demo.example", "https://x/path"])
def test_a_public_origin_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(StartError, match="PORTAL_BASE_URL"):
        asked(tmp_path, PORTAL_BASE_URL=url)


def test_both_servers_on_one_port_are_refused(tmp_path):
    with pytest.raises(StartError, match="--sandbox-port"):
        asked(tmp_path, sandbox_port=8200)


def test_each_other_database_has_a_folder_of_its_own(tmp_path):
    one = asked(tmp_path, DATABASE_URL="postgresql+psycopg://u@h/one")
    two = asked(tmp_path, DATABASE_URL="postgresql+psycopg://u@h/two")
    assert one.folder.parent == two.folder.parent == tmp_path
    assert one.folder != two.folder
    assert one.folder.name.startswith("postgresql-")
    assert database_folder("") == ""


def test_secrets_are_kept_for_their_owner_only(tmp_path):
    kept = Kept()
    password = kept.password("admin")
    keeping.save(tmp_path, kept)
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600
    again = keeping.load(tmp_path)
    assert again == kept
    assert again.password("admin") == password
    assert again.password("developer") != password


def test_a_broken_file_is_said_and_left_alone(tmp_path):
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(StartError, match=r"demo\.json can't be read"):
        keeping.load(tmp_path)
    assert (tmp_path / "demo.json").read_text() == "{"


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="can't be written"):
        keeping.prepare(tmp_path / "file" / "folder")


def test_two_demos_never_share_a_folder(tmp_path):
    refused = pytest.raises(StartError, match="Another demo")
    with keeping.locked(tmp_path), refused, keeping.locked(tmp_path):
        pass
    with keeping.locked(tmp_path):
        pass


def test_a_reset_deletes_only_what_a_demo_made(tmp_path):
    for name in (
        "demo.json",
        "portal.sqlite3",
        "portal.sqlite3-wal",
        "sandbox.sqlite3",
        "mine.txt",
    ):
        (tmp_path / name).write_text("{}")
    stack.empty(asked(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt"}


def test_a_database_of_somebody_else_is_neither_used_nor_emptied(tmp_path):
    url = f"sqlite:///{tmp_path / 'theirs.sqlite3'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (id INTEGER)")
    options = asked(tmp_path, DATABASE_URL=url)
    keeping.prepare(options.folder)
    with pytest.raises(StartError, match=r"is not empty \(it has 1 tables, such as theirs\)"):
        stack.claim(options)
    stack.empty(options)
    assert database.tables(url) == {"theirs"}
    engine.dispose()


def test_dropping_leaves_other_tables_alone(tmp_path):
    url = f"sqlite:///{tmp_path / 'both.sqlite3'}"
    engine = sa.create_engine(url)
    db.Model.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (id INTEGER)")
    engine.dispose()
    database.drop(url)
    assert database.tables(url) == {"theirs"}


def test_a_database_means_the_same_in_every_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert database.usable("sqlite:///own.sqlite3") == f"sqlite:///{tmp_path}/own.sqlite3"
    assert database.usable("postgres://u:pw@h/x") == "postgresql+psycopg://u:pw@h/x"
    assert database.usable("mysql+pymysql://u:pw@h/x") == "mysql+pymysql://u:pw@h/x"
    assert database.usable("") == ""


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "no address"])
def test_a_database_that_processes_cannot_share_is_refused(tmp_path, url):
    with pytest.raises(StartError, match="DATABASE_URL"):
        asked(tmp_path, DATABASE_URL=url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "is no database address"),
        ("nonsense://x", "is no database address"),
        ("postgresql+psycopg://u:s3cret@127.0.0.1:9/x", "does not answer"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_without_its_password(url, sentence):
    with pytest.raises(StartError, match=sentence) as refused:
        database.require_empty(url, "")
    assert "s3cret" not in refused.value.message
