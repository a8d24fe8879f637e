"""Extensions, unbound; ``create_app`` binds them. Also how each database is opened."""

import socket
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
from sqlalchemy.engine import make_url
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
#: How long a server may take to accept a connection, and may leave what was sent to it without a
#: sign that it arrived: then its machine or the way there is gone. How long a statement may take
#: is not limited: upgrades of large tables take their time.
CONNECT_SECONDS, FIRST_WORDS_SECONDS, SILENT_SECONDS = 5, 5.5, 15
_USED = "used_at"
#: Options of a connection, where the system has them.
_WATCHED = {
    "TCP_USER_TIMEOUT": SILENT_SECONDS * 1000,
    "TCP_KEEPIDLE": SILENT_SECONDS,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
}
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
    parts = make_url(url)
    arguments = _arguments(parts.get_driver_name())
    # What stands in the address itself is what the operator wants.
    options["connect_args"] = {
        name: value for name, value in arguments.items() if name not in parts.query
    }
    return options


def _arguments(driver: str) -> dict[str, Any]:
    """Return what keeps a driver from waiting for ever; nothing for one that is not known."""
    if driver == "pymysql":
        return {"connect_timeout": CONNECT_SECONDS, "read_timeout": FIRST_WORDS_SECONDS}
    if driver == "psycopg":
        return {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": SILENT_SECONDS * 1000,
            "keepalives_idle": SILENT_SECONDS,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
    return {}


def prepare_pool(engine: Engine) -> None:
    """Ask a server's connection whether it lives before it is used, if it was idle for a second.

    Asking each time would be one more round trip for every transaction of a busy portal. A server
    that was restarted within that second costs one error, after which the pool is emptied.
    """
    if engine.dialect.name == "sqlite":
        return

    if engine.dialect.name in ("mysql", "mariadb"):
        event.listen(engine, "connect", _connected)

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


def _connected(connection: Any, _record: ConnectionPoolEntry) -> None:
    """Give a connection of PyMySQL what libpq is told in :func:`engine_options`.

    PyMySQL has no settings for the line. Its limit for reading is that of the first words, which
    its limit for connecting leaves out; from then on a statement may take as long as it takes.
    """
    line = getattr(connection, "_sock", None)
    if getattr(connection, "_read_timeout", None) == FIRST_WORDS_SECONDS:
        connection._read_timeout = None  # noqa: SLF001
    if isinstance(line, socket.socket) and line.family in (socket.AF_INET, socket.AF_INET6):
        for name, value in _WATCHED.items():
            if hasattr(socket, name):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


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
