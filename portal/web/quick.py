"""Few statements with nothing around them, for the busiest request: no session and no objects.

On PostgreSQL each statement is a transaction of its own, and the driver is asked directly: no BEGIN
and COMMIT to wait for. Elsewhere the same statements run through SQLAlchemy in one transaction.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Executable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import ClauseElement

from portal.crashpoints import crashpoint
from portal.extensions import WRITES


class Through:
    """Statements through SQLAlchemy; :meth:`kept` commits what was written."""

    def __init__(self, connection: Connection) -> None:
        self.name = connection.dialect.name
        self._connection = connection

    def one(self, statement: Executable, values: Mapping[str, Any]) -> Any:
        """Return the only row of a query, or ``None``. Nothing that was read stays locked."""
        try:
            return self._connection.execute(statement, values).one_or_none()
        finally:
            self._connection.rollback()

    def write(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Return how many rows a statement wrote."""
        self._connection = self._connection.execution_options(**{WRITES: True})
        told = {"preserve_rowcount": True}
        return int(self._connection.execute(statement, values, execution_options=told).rowcount)

    def kept(self, work: Callable[[], bool]) -> bool:
        """Do ``work``; commit if it says so, else undo it."""
        if not work():
            self._connection.rollback()
            return False
        crashpoint("before commit")
        self._connection.commit()
        crashpoint("after commit")
        return True


class Direct:
    """Statements through psycopg, each a transaction of its own."""

    name = "postgresql"

    def __init__(self, driver: Any, dialect: Dialect) -> None:
        self._driver = driver
        self._dialect = dialect

    def one(self, statement: Executable, values: Mapping[str, Any]) -> Any:
        """Return the only row of a query, or ``None``."""
        text, row = _compiled(statement, self._dialect)
        found = self._driver.execute(text, values).fetchone()
        return None if found is None else row._make(found)

    def write(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Return how many rows a statement wrote."""
        text, _ = _compiled(statement, self._dialect)
        return int(self._driver.execute(text, values).rowcount)

    def kept(self, work: Callable[[], bool]) -> bool:
        """Do ``work``, which is one statement."""
        crashpoint("before commit")
        done = work()
        crashpoint("after commit")
        return done


Quick = Through | Direct


def errors_of(engine: Engine) -> tuple[type[Exception], ...]:
    """Return what statements of :func:`quick` raise where the database says no."""
    dbapi = engine.dialect.loaded_dbapi
    return SQLAlchemyError, dbapi.Error


@contextmanager
def quick(engine: Engine) -> Iterator[Quick]:
    """Give a block a connection for few statements; they raise :func:`errors_of`."""
    if (engine.dialect.name, engine.driver) != ("postgresql", "psycopg"):
        with engine.connect() as connection:
            yield Through(connection)
        return
    pooled = engine.raw_connection()
    driver: Any = pooled.driver_connection
    try:
        driver.autocommit = True
        yield Direct(driver, engine.dialect)
    finally:
        try:
            driver.autocommit = False
        except engine.dialect.loaded_dbapi.Error:
            # It broke, or was left in the middle of a statement.
            pooled.invalidate()
        pooled.close()


@lru_cache(maxsize=64)
def _compiled(statement: ClauseElement, dialect: Dialect) -> tuple[str, Any]:
    """Return a statement's text, and a kind of row with its columns as attributes."""
    compiled = statement.compile(dialect=dialect)
    names = getattr(statement, "selected_columns", None)
    row = namedtuple("Row", names.keys()) if names is not None else None
    return str(compiled), row
