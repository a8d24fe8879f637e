"""Inserting rows of which some may be there already, alike on every database."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

#: Values in one statement: SQLite takes 32,766 parameters.
CHUNK = 500
T = TypeVar("T")


def parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a long list into pieces that one statement takes."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def insert_missing(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], *, key: str = ""
) -> set[Any]:
    """Insert the rows whose keys are not taken; return the values of ``key`` that were taken.

    Without ``key`` nothing is found out, which costs nothing. A taken key is never an error, also
    where another transaction takes it at the same moment.
    """
    kind = connection.dialect.name
    if kind in ("mysql", "mariadb"):
        statement: Any = mysql.insert(table).prefix_with("IGNORE")
    elif kind == "postgresql":
        statement = postgresql.insert(table).on_conflict_do_nothing()
    else:
        statement = sqlite.insert(table).on_conflict_do_nothing()
    if not key:
        connection.execute(statement, list(rows))
        return set()
    column = table.c[key]
    if kind in ("postgresql", "sqlite"):
        made = set(connection.scalars(statement.returning(column), list(rows)))
        return {row[key] for row in rows} - made
    # MySQL's RETURNING is MariaDB's alone: each row tells by its own statement.
    taken = set()
    for row in rows:
        if connection.execute(statement, row).rowcount == 0:
            taken.add(row[key])
    return taken
