"""Encrypting every stored secret anew with the newest key, so that an older key can go.

Every column whose name ends in ``_sealed`` is one; a new table is found by itself.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, select, update

from portal.extensions import db
from portal.vault import SecretUnreadable, vault

#: Rows of one transaction: nobody waits long for them.
SOME = 200
ENDING = "_sealed"


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A column of secrets."""

    table: Table
    key: Column[Any]
    column: Column[Any]

    @property
    def name(self) -> str:
        """Table and column, as an operator reads them."""
        return f"{self.table.name}.{self.column.name}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one transaction did. ``last`` is where the next begins; ``None``: it was the last."""

    rotated: int = 0
    current: int = 0
    unreadable: int = 0
    last: Any = None


def columns() -> list[Sealed]:
    """Return every column of secrets."""
    found = []
    for table in db.Model.metadata.sorted_tables:
        for column in table.columns:
            if column.name.endswith(ENDING):
                [key] = table.primary_key.columns
                found.append(Sealed(table=table, key=key, column=column))
    return found


def reseal_some(sealed: Sealed, after: Any = None) -> Step:
    """Encrypt the next secrets of a column anew; those that the newest key sealed stay.

    The rows are locked, so that a secret that somebody enters meanwhile is not overwritten.

    :param after: the ``last`` of the step before
    """
    query = select(sealed.key, sealed.column).where(sealed.column.is_not(None))
    if after is not None:
        query = query.where(sealed.key > after)
    rows = db.session.execute(query.order_by(sealed.key).limit(SOME).with_for_update()).all()
    rotated = current = unreadable = 0
    # A secret stays what it is: neither its row's time nor its version changes.
    kept = {column.name: column for column in sealed.table.columns if column.onupdate is not None}
    for key, value in rows:
        if vault.is_current(value):
            current += 1
            continue
        try:
            anew = vault.rotate(value)
        except SecretUnreadable:
            unreadable += 1
            continue
        change = update(sealed.table).where(sealed.key == key)
        db.session.execute(change.values({**kept, sealed.column.name: anew}))
        rotated += 1
    last = rows[-1][0] if len(rows) == SOME else None
    return Step(rotated=rotated, current=current, unreadable=unreadable, last=last)
