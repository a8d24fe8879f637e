"""Where transactions begin and end. Services never commit; edges open a unit of work."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm.exc import StaleDataError

from portal.crashpoints import crashpoint
from portal.errors import Conflict
from portal.extensions import WRITES, db

T = TypeVar("T")

#: PostgreSQL: serialization failure, deadlock. MySQL: deadlock, lock wait, changed row, a savepoint
#: that is gone because a deadlock has rolled the whole transaction back, and a deadlock about the
#: next number of a table.
_RETRY_STATES = {"40001", "40P01"}
_RETRY_NUMBERS = {1213, 1205, 1020, 1305, 1467}


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run a block as one writing transaction: commit at its end, roll back on any error.

    Rows that were read before are read again, now under the write lock where the database has
    one, so that a decision is never made on what was true a moment ago.

    :raise portal.errors.Conflict: if somebody changed the same row in between
    """
    session = db.session
    session.rollback()
    session.connection(execution_options={WRITES: True})
    try:
        yield
        crashpoint("before commit")
        session.commit()
        crashpoint("after commit")
    except StaleDataError as error:
        session.rollback()
        raise Conflict("Somebody else just changed this. Look at it again and repeat.") from error
    except BaseException:
        session.rollback()
        raise


def begin_reading() -> bool:
    """Let what follows be read statement by statement, until a unit of work begins.

    For requests that write nothing. PostgreSQL shows each statement what is committed when it
    begins, with and without a transaction around it: BEGIN and ROLLBACK are two round trips for
    nothing. Elsewhere, and in a transaction that has begun, nothing changes, and ``False`` is
    returned. Who is told ``True`` rolls back when all is read.
    """
    session = db.session()
    if session.in_transaction() or db.engine.dialect.name != "postgresql":
        return False
    session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
    return True


def in_unit_of_work(work: Callable[[], T], *, tries: int = 8) -> T:
    """Run ``work`` as one transaction, again when the database asks for it.

    Deadlocks, lock waits and lost races are normal under load; ``work`` is re-run whole, with
    fresh reads, so it must have no effect outside the database.
    """
    for left in range(tries - 1, -1, -1):
        try:
            with unit_of_work():
                return work()
        except (Conflict, DBAPIError) as error:
            if left == 0 or not _is_transient(error):
                raise
        # Jitter keeps two losers from meeting again; it protects nothing.
        time.sleep(random.uniform(0.005, 0.05) * (tries - left))  # noqa: S311
    raise AssertionError("unreachable")


def _is_transient(error: Exception) -> bool:
    if isinstance(error, Conflict):
        return isinstance(error.__cause__, StaleDataError)
    if not isinstance(error, DBAPIError):
        return False
    origin = error.orig
    if getattr(origin, "sqlstate", None) in _RETRY_STATES:
        return True
    arguments = getattr(origin, "args", ())
    if arguments and arguments[0] in _RETRY_NUMBERS:
        return True
    return isinstance(error, OperationalError) and "database is locked" in str(origin)
