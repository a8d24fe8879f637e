"""Notes every act of an administrator or a publisher, in the transaction that does it.

The one place is the database session: whatever is written while such a request runs is told
there, so that no view and no service has to remember to. An act that writes nothing of its own,
such as testing a key, is noted when it has been answered.
"""

from typing import Any

import structlog
from flask import Flask, Response, current_app, g, has_request_context, request
from sqlalchemy import Update, event, insert, update
from sqlalchemy.orm import ORMExecuteState, Session

from portal import clock
from portal.extensions import db
from portal.models import AuditEntry
from portal.services import audit
from portal.services.audit import Author
from portal.web.unit_of_work import in_unit_of_work

log = structlog.get_logger()

_TOLD, _STORED = "audit_told", "audit_stored"
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
#: Rules of acts of administrators and publishers, and the REST API that is theirs.
_RULES = ("role:admin", "role:admin,publisher", "basic:admin", "admin_or_basic")
_REST = ("/api/am/admin/", "/api/am/publisher/")


def init_app(app: Flask) -> None:
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
    app.after_request(_answered)


def is_noted(rule: str, access: str) -> bool:
    """Whether what changes something at an address is an act that is noted.

    :param rule: the address as it is routed
    :param access: who may call it, as the view says
    """
    return access in _RULES or (access.startswith("scope:") and rule.startswith(_REST))


def _author() -> Author | None:
    """Return whose act the present request is, if it is one that is noted."""
    if not has_request_context() or request.method in _SAFE or "acting" not in g:
        return None
    view: Any = current_app.view_functions.get(request.endpoint or "")
    rule = request.url_rule.rule if request.url_rule else ""
    if not is_noted(rule, getattr(view, "access", "")):
        return None
    user_id, tenant_id, name, via = g.acting
    return Author(
        user_id=user_id,
        tenant_id=tenant_id,
        name=name,
        address=request.remote_addr or "",
        via=via,
        act=request.endpoint or "",
        path=request.path,
        request_id=g.get("request_id", ""),
    )


def _flushed(session: Session, _context: Any, _instances: Any) -> None:
    if _author() is not None:
        session.info.setdefault(_TOLD, []).extend(audit.told(session))


def _executed(state: ORMExecuteState) -> None:
    if not state.is_update or state.bind_mapper is None or _author() is None:
        return
    statement: Any = state.statement
    if isinstance(statement, Update):
        changes = audit.told_by_statement(state.session, statement, state.bind_mapper.class_)
        state.session.info.setdefault(_TOLD, []).extend(changes)


def _committing(session: Session) -> None:
    if session.in_nested_transaction():
        return
    session.flush()
    changes = session.info.pop(_TOLD, [])
    if changes:
        _store(session, changes)


def _store(session: Session, changes: list[dict[str, Any]]) -> None:
    """Write the act, or add to it what a later transaction of the same request changes."""
    author = _author()
    if author is None:
        return
    number, before = g.get("audit_entry", (None, []))
    row = audit.entry(author, audit.merged([*before, *changes]), clock.now())
    connection = session.connection()
    if number is None:
        number = connection.execute(insert(AuditEntry).values(**row)).inserted_primary_key[0]  # type: ignore[index]
    else:
        of_act = update(AuditEntry).where(AuditEntry.audit_id == number)
        connection.execute(of_act.values(changes=row["changes"], target=row["target"]))
    session.info[_STORED] = (number, row["changes"])


def _committed(session: Session) -> None:
    stored = session.info.pop(_STORED, None)
    if stored is not None and has_request_context():
        if "audit_entry" not in g:
            log.info("act", act=request.endpoint, entry=stored[0], person=g.acting[0])
        g.audit_entry = stored


def _rolled_back(session: Session) -> None:
    session.info.pop(_TOLD, None)
    session.info.pop(_STORED, None)


def _answered(response: Response) -> Response:
    if response.status_code < 400 and "audit_entry" not in g and _author() is not None:
        in_unit_of_work(lambda: _store(db.session(), []))
    return response
