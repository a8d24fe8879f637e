"""Which spool files belong to a database: it has a number, and their folder is named after it.

The address of a database changes, with a password, a time-out or the name of its host; what it
holds does not. The number stands among the spool files, in a row that is none.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, Table, select

from portal import clock
from portal.models import UsageSpool
from portal.services import inserting
from portal.services.inserting import parts

#: Name of the row whose offset is the database's number.
NUMBER = "number of this database"
_spool: Table = UsageSpool.__table__  # type: ignore[assignment]


def number_of(connection: Connection) -> int | None:
    """Return the database's number; ``None`` if it has none yet."""
    found = connection.scalar(select(_spool.c.offset).where(_spool.c.name == NUMBER))
    return None if found is None else int(found)


def give_number(connection: Connection) -> None:
    """Give the database a number; of two who do so at once, one does."""
    row = {"name": NUMBER, "offset": secrets.randbits(62), "drained_at": clock.now()}
    connection.execute(inserting.ignoring(connection.dialect.name, _spool), [row])


def not_counted(connection: Connection, sizes: Mapping[Path, int]) -> list[Path]:
    """Return those of some files that are not in the ledger whole."""
    names = [path.name for path in sizes]
    known = {
        row.name: row.offset
        for part in parts(names)
        for row in connection.execute(
            select(_spool.c.name, _spool.c.offset).where(_spool.c.name.in_(part))
        )
    }
    return [path for path, size in sizes.items() if known.get(path.name, 0) < size]
