"""Inserting rows of which some may be there already, alike on every database."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, String, Table, Text, bindparam, func, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

#: Values in one statement: SQLite takes 32,766 parameters.
CHUNK = 500
T = TypeVar("T")


def parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a long list into pieces that one statement takes."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def insert_missing(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    *,
    key: str | tuple[str, ...] = "",
) -> set[Any]:
    """Insert the rows whose keys are not taken; return the values of ``key`` that were taken.

    Without ``key`` nothing is found out, which costs nothing. A taken key is never an error, also
    where another transaction takes it at the same moment. A key of several columns has tuples for
    values.
    """
    kind = connection.dialect.name
    statement = ignoring(kind, table)
    if not key:
        connection.execute(statement, list(rows))
        return set()
    if insert_all(connection, table, rows):
        return set()
    names = (key,) if isinstance(key, str) else key
    value = itemgetter(*names)
    if kind in ("postgresql", "sqlite"):
        telling = statement.returning(*(table.c[name] for name in names))
        made = {value(row) for row in connection.execute(telling, list(rows)).mappings()}
        return {value(row) for row in rows} - made
    # MySQL's RETURNING is MariaDB's alone: each row tells by its own statement.
    taken = set()
    for row in rows:
        if connection.execute(statement, row).rowcount == 0:
            taken.add(value(row))
    return taken


def insert_all(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> bool:
    """Insert all rows, or none if any key is taken; return whether they are there.

    For the usual case that nothing is taken: nothing is looked for, and nothing told row by row.
    """
    try:
        with connection.begin_nested():
            if _inserted(connection, table, rows) != len(rows):
                raise _SomeTaken
    except _SomeTaken:
        return False
    return True


class _SomeTaken(Exception):
    """Undoes what was inserted beside what was there."""


def add(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    amounts: Sequence[str],
    *,
    key: str,
) -> None:
    """Insert rows; where ``key`` is taken, add the ``amounts`` to the row that is there.

    :param rows: sorted by ``key``, so that two who do this at once take turns
    """
    kind = connection.dialect.name
    if kind in ("mysql", "mariadb"):
        made = mysql.insert(table)
        more = {name: table.c[name] + made.inserted[name] for name in amounts}
        connection.execute(made.on_duplicate_key_update(more), list(rows))
    elif kind == "postgresql":
        # Row by row in the order of the arrays. An UPDATE of many would lock them in the order of
        # its plan, and two would meet each other.
        connection.execute(_adding(_from_arrays(table, rows), amounts, key))
    else:
        connection.execute(_adding(sqlite.insert(table), amounts, key), list(rows))


def _adding(statement: Any, amounts: Sequence[str], key: str) -> Any:
    more = {name: statement.table.c[name] + statement.excluded[name] for name in amounts}
    return statement.on_conflict_do_update(index_elements=[key], set_=more)


def _inserted(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    told = {"preserve_rowcount": True}
    if connection.dialect.name == "postgresql":
        # One short statement: thousands of parameters cost more than the rows themselves.
        from_arrays = _from_arrays(table, rows).on_conflict_do_nothing()
        made = connection.execute(from_arrays, execution_options=told)
    else:
        statement = ignoring(connection.dialect.name, table)
        made = connection.execute(statement, list(rows), execution_options=told)
    return int(made.rowcount)


def _from_arrays(table: Table, rows: Sequence[dict[str, Any]]) -> Any:
    names = list(rows[0])
    source = _unnested(table, rows, names)
    return postgresql.insert(table).from_select(names, select(*(source.c[name] for name in names)))


def _unnested(table: Table, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Any:
    arrays = []
    for name in names:
        kind = table.c[name].type
        # An array of texts of any length: collations and lengths belong to the column.
        item = Text() if isinstance(kind, String) else kind
        values = [row[name] for row in rows]
        arrays.append(bindparam(None, values, type_=postgresql.ARRAY(item), unique=True))
    return func.unnest(*arrays).table_valued(*names).render_derived()


def ignoring(kind: str, table: Table) -> Any:
    """Return an INSERT that leaves out rows whose key is taken, for a kind of database."""
    if kind in ("mysql", "mariadb"):
        return mysql.insert(table).prefix_with("IGNORE")
    if kind == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
