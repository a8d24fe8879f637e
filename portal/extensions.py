"""Extensions, unbound; ``create_app`` binds them. Also how each database is opened."""

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from flask_babel import Babel
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_mailman import Mail
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf.csrf import CSRFProtect
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry

#: Names for every constraint, so that one migration can find them on all databases.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMES)


db = SQLAlchemy(model_class=Base)

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model

migrate = Migrate()
login_manager = LoginManager()
csrf = CSRFProtect()
babel = Babel()
mail = Mail()
limiter = Limiter(get_remote_address, headers_enabled=False, default_limits=[])

IDLE_SECONDS = 1.0
_USED = "used_at"
WRITES = "portal_writes"
"""Execution option of a connection whose transaction is going to write."""


def engine_options(url: str) -> dict[str, Any]:
    """Return SQLAlchemy's engine options for a database address.

    MySQL: READ COMMITTED, because REPEATABLE READ keeps a stale snapshot after a lock wait and
    dead-locks on gaps. What a server closed while idle is dropped, see :func:`prepare_pool`.
    """
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 10, "check_same_thread": False}}
    # A connection for each of gunicorn's eight threads and the worker's two: what is beyond the
    # pool's size is opened and closed each time, which costs more than what it is used for.
    options: dict[str, Any] = {"pool_recycle": 1800, "pool_size": 10, "max_overflow": 5}
    if url.startswith(("mysql", "mariadb")):
        options["isolation_level"] = "READ COMMITTED"
    return options


def prepare_pool(engine: Engine) -> None:
    """Ask a server's connection whether it lives before it is used, if it was idle for a second.

    Asking each time would be one more round trip for every transaction of a busy portal. A server
    that was restarted within that second costs one error, after which the pool is emptied.
    """
    if engine.dialect.name == "sqlite":
        return

    @event.listens_for(engine, "checkin")
    def note(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info[_USED] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        used = record.info.get(_USED)
        if used is None or time.monotonic() - used < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def prepare_sqlite(engine: Engine) -> None:
    """Make SQLite keep what it acknowledges and never lose an update.

    pysqlite's own deferred BEGIN lets two writers read the same row and lose one update, so
    transactions are opened here: IMMEDIATE where the unit of work is going to write.
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def open_connection(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=10000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
