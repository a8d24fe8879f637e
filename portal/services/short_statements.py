"""What both kinds of the short way store: an event, if a subscription is as it was read."""

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Executable, Table, bindparam, insert, select, type_coerce, update

from portal.models import InboxEvent, Subscription


class Statements(Protocol):
    """Runs statements on one connection: see ``portal.web.quick``."""

    name: str
    """The kind of database."""

    def one(self, statement: Executable, values: Mapping[str, Any]) -> Any:
        """Return the only row of a query, with its columns as attributes, or ``None``."""

    def write(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Return how many rows a statement wrote."""


INBOX: Table = InboxEvent.__table__  # type: ignore[assignment]
ROW: Table = Subscription.__table__  # type: ignore[assignment]
#: The columns of an event's row.
STORED = (
    *("tenant_id", "event_id", "type", "account", "livemode", "created", "received_at"),
    *("payload_zlib", "outcome", "detail", "deliveries", "attempts"),
    *("status_before", "status_after", "am_subscription_id"),
)
#: Whether the subscription ``number`` is as it was ``seen``.
AS_READ = (ROW.c.subscription_id == bindparam("number"), ROW.c.revision == bindparam("seen"))


def given(prefix: str, table: Table, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters of a row, named after its columns."""
    return {name: type_coerce(bindparam(f"{prefix}_{name}"), table.c[name].type) for name in names}


def named(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the parameters that :func:`given` names."""
    return {f"{prefix}_{name}": value for name, value in values.items()}


def inserted(prefix: str, table: Table, names: tuple[str, ...], source: Any, how: Any) -> Any:
    """Insert the parameters' row once for each row of ``source``: one, or none.

    :param how: the INSERT of the kind of database
    """
    row = select(*given(prefix, table, names).values()).select_from(source)
    return how.from_select(names, row, include_defaults=False)


def storing(source: Any) -> Any:
    """Store the event for each row of ``source``: one, or none."""
    return inserted("event", INBOX, STORED, source, insert(INBOX))


#: The event, if the subscription is as it was read: PostgreSQL, where it is a statement of its own.
STORE_IF = storing(select(ROW.c.subscription_id).where(*AS_READ).subquery("as_read"))
#: Elsewhere the row is held first, in the same transaction, and then the event is stored. One
#: statement would not do: MySQL locks the whole table's numbers while it inserts what it selects.
HOLD = update(ROW).where(*AS_READ).values(revision=ROW.c.revision, changed_at=ROW.c.changed_at)
STORE = insert(INBOX).values(given("event", INBOX, STORED))
