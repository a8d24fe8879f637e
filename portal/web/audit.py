"""Notes every act of an administrator or a publisher, in the transaction that does it.

The one place is the database session: whatever is written while such a request or command runs is
told there, so that no view and no service has to remember to. An act that writes nothing of its
own, such as testing a key, is noted when it has been answered.
"""

import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Flask, Response, current_app, g, has_app_context, has_request_context, request
from sqlalchemy import Update, event, insert, select, update
from sqlalchemy.orm import ORMExecuteState, Session

from portal import clock
from portal.extensions import db
from portal.models import AuditEntry, Tenant
from portal.models.tenant import SUPER_TENANT
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


# --- commands -------------------------------------------------------------------------------


@dataclass
class Command:
    """What somebody does at the command line."""

    name: str
    """As it is typed, without ``flask`` and what follows: ``people add``."""
    tenant_id: int | None
    """Whose log has the entry. Without one, because there is no tenant yet, nothing is noted."""

    @property
    def author(self) -> Author | None:
        """Who it is, as the operating system knows them."""
        if self.tenant_id is None:
            return None
        typed = f"flask {self.name}"
        return Author(
            user_id=None,
            tenant_id=self.tenant_id,
            name=f"command line ({_system_user()})",
            address=socket.gethostname(),
            via="command line",
            act=typed,
            path=typed,
        )


def _system_user() -> str:
    """Return the name of the user that this process runs as; its number if it has no name."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@contextmanager
def command(name: str, tenant_id: int | None = None) -> Iterator[Command]:
    """Note what a block does as one act of the command line.

    The first transaction of the block that is committed has the entry. A block that fails before
    leaves none. ``tenant_id`` may be set in the block, before it commits anything.
    """
    made = g.command = Command(name=name, tenant_id=tenant_id)
    g.pop("audit_entry", None)
    try:
        yield made
        if "audit_entry" not in g:
            in_unit_of_work(lambda: None)
    finally:
        g.pop("command", None)
        g.pop("audit_entry", None)


def of_installation() -> int | None:
    """Return whose log has what concerns all tenants: carbon.super's, or else the first one's."""
    order = (Tenant.tenant_domain != SUPER_TENANT, Tenant.tenant_id)
    found = db.session.scalar(select(Tenant.tenant_id).order_by(*order).limit(1))
    db.session.rollback()
    return found


def tell(change: dict[str, Any]) -> None:
    """Tell of a change that is written past the rows, in the transaction that makes it.

    :param change: as :func:`portal.services.audit.told` returns them
    """
    if _is_noted():
        db.session().info.setdefault(_TOLD, []).append(change)


# --- whose act it is ------------------------------------------------------------------------


def _typed() -> Command | None:
    return g.get("command") if has_app_context() else None


def _is_noted() -> bool:
    return _typed() is not None or _author() is not None


def _author() -> Author | None:
    """Return whose act the present request or command is, if it is one that is noted."""
    typed = _typed()
    return typed.author if typed is not None else _caller()


def _caller() -> Author | None:
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
    if _is_noted():
        session.info.setdefault(_TOLD, []).extend(audit.told(session))


def _executed(state: ORMExecuteState) -> None:
    if not state.is_update or state.bind_mapper is None or not _is_noted():
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
    is_unknown = _typed() is not None and "audit_entry" not in g
    if changes or is_unknown:
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
    if stored is not None:
        if "audit_entry" not in g and has_request_context():
            log.info("act", act=request.endpoint, entry=stored[0], person=g.acting[0])
        g.audit_entry = stored


def _rolled_back(session: Session) -> None:
    session.info.pop(_TOLD, None)
    session.info.pop(_STORED, None)


def _answered(response: Response) -> Response:
    if response.status_code < 400 and "audit_entry" not in g and _author() is not None:
        in_unit_of_work(lambda: _store(db.session(), []))
    return response
