"""What gateways have to know: changes of APIs, applications, keys, plans and tokens.

Gateways decide from memory. Whatever changes what they remember raises one number in the same
transaction, and each of their processes asks for that number several times a second. A
subscription says by its own ``changed_at`` that it changed, so that the many events of a busy
hour do not empty every memory.
"""

from typing import Any

from flask import Flask
from sqlalchemy import event, inspect, update
from sqlalchemy.orm import ORMExecuteState, Session

from portal.extensions import db
from portal.models import (
    Api,
    Application,
    ApplicationKey,
    GatewayRevision,
    OAuthClient,
    OAuthToken,
    Policy,
    PolicyVersion,
    Subscription,
    User,
)
from portal.services.inserting import insert_missing

#: Tables whose rows gateways remember, and the columns of them that matter; none: all.
WATCHED: dict[type[Any], tuple[str, ...]] = {
    Api: (),
    Application: ("deleted_at",),
    ApplicationKey: ("revoked_at",),
    OAuthClient: ("application_id", "key_type"),
    OAuthToken: ("revoked_at",),
    Policy: (),
    PolicyVersion: (),
    User: ("disabled",),
}
#: One row.
REVISION = 1
_RAISE, _TELL = "gateway_raise", "gateway_tell"


class _Local:
    """How often something that gateways remember was committed by this process."""

    number = 0


def local_number() -> int:
    """Return a number that changes when this process has changed what gateways remember."""
    return _Local.number


def init_app(_app: Flask) -> None:
    """Watch every session of the process; twice is once."""
    for name, listener in (
        ("before_flush", _flushed),
        ("do_orm_execute", _executed),
        ("before_commit", _committing),
        ("after_commit", _committed),
        ("after_rollback", _rolled_back),
    ):
        if not event.contains(db.session, name, listener):
            event.listen(db.session, name, listener)


def _flushed(session: Session, _context: Any, _instances: Any) -> None:
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Subscription):
            session.info[_TELL] = True
        elif type(row) in WATCHED and _matters(session, row):
            session.info[_RAISE] = True


def _matters(session: Session, row: Any) -> bool:
    columns = WATCHED[type(row)]
    if row in session.deleted or not columns:
        return True
    if row in session.new:
        # Nobody can have asked for a key, a token or a person that was not there.
        return False
    state = inspect(row)
    return any(state.attrs[name].history.has_changes() for name in columns)


def _executed(state: ORMExecuteState) -> None:
    if not (state.is_update or state.is_delete):
        return
    kind = state.bind_mapper.class_ if state.bind_mapper else None
    if kind is Subscription:
        state.session.info[_TELL] = True
    elif kind in WATCHED:
        state.session.info[_RAISE] = True


def _committing(session: Session) -> None:
    if session.in_nested_transaction():
        return
    session.flush()
    if not session.info.pop(_RAISE, False):
        return
    # Last of all, so that the row is locked for as short as can be.
    session.info[_TELL] = True
    connection = session.connection()
    raised = (
        update(GatewayRevision)
        .where(GatewayRevision.id == REVISION)
        .values(number=GatewayRevision.number + 1)
    )
    if connection.execute(raised).rowcount == 0:
        table: Any = GatewayRevision.__table__
        insert_missing(connection, table, [{"id": REVISION, "number": 0}])
        connection.execute(raised)


def _committed(session: Session) -> None:
    if session.info.pop(_TELL, False):
        tell_gateway()


def tell_gateway() -> None:
    """Let the gateway of this process ask at once; the others ask several times a second."""
    _Local.number += 1


def _rolled_back(session: Session) -> None:
    session.info.pop(_RAISE, None)
    session.info.pop(_TELL, None)
