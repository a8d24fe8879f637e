"""The demo's database: whether it may be used, its tables, and emptying it again."""

from pathlib import Path

import sqlalchemy as sa
from flask_migrate import upgrade
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from portal.cli.processes import StartError
from portal.extensions import db, engine_options

VERSIONS = "alembic_version"


def usable(url: str) -> str:
    """Return a database address that means the same in every process.

    :raise StartError: if it is none, or a database in memory, which processes can't share
    """
    if not url:
        return ""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StartError(f"DATABASE_URL is no database address: {error}.") from error
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if parsed.get_backend_name() != "sqlite":
        return url
    if not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise StartError(
            "DATABASE_URL names no file, and the servers can't share a database in memory: name "
            "a file, a server, or nothing."
        )
    whole = str(Path(parsed.database).expanduser().resolve())
    return parsed.set(database=whole).render_as_string(hide_password=False)


def shown(url: str) -> str:
    """Return a database address without its password."""
    return make_url(url).render_as_string(hide_password=True)


def tables(url: str) -> set[str]:
    """Return the names of the tables in the database.

    :raise StartError: if the address is none, its driver is missing or nothing answers there
    """
    try:
        _make_folder(url)
        engine = sa.create_engine(url, **engine_options(url))
    except (ArgumentError, NoSuchModuleError) as error:
        raise StartError(f"DATABASE_URL is no database address: {error}.") from error
    except ModuleNotFoundError as error:
        raise StartError(
            f"The driver {error.name} is not installed: install the extra postgres or mysql."
        ) from error
    try:
        with engine.connect() as connection:
            return set(sa.inspect(connection).get_table_names())
    except DBAPIError as error:
        raise StartError(f"The database {shown(url)} does not answer: {error.orig}.") from error
    finally:
        engine.dispose()


def _make_folder(url: str) -> None:
    """SQLite makes its file, but not the folder that it is in."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).expanduser().parent.mkdir(parents=True, exist_ok=True)


def require_empty(url: str, advice: str) -> None:
    """Raise `StartError` if there is any table in the database; `advice` ends the sentence."""
    found = tables(url)
    if found:
        raise StartError(
            f"The database {shown(url)} is not empty (it has {len(found)} tables, such as "
            f"{min(found)}) and is not this demo's: {advice}"
        )


def migrate() -> None:
    """Bring the tables of the running app's database to the present version."""
    upgrade()


def drop(url: str) -> None:
    """Drop the portal's tables, and no others."""
    engine = sa.create_engine(url, **engine_options(url))
    try:
        with engine.begin() as connection:
            db.Model.metadata.drop_all(connection)
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {VERSIONS}"))
    finally:
        engine.dispose()
