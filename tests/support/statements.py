"""How many statements a page costs: the same for five rows and for fifty."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from portal.extensions import db


def count(work: Callable[[], Any]) -> int:
    """Return how many SELECT statements ``work`` sends to the database."""
    return sum(text.startswith("SELECT") for text in sent(work))


def sent(work: Callable[[], Any]) -> list[str]:
    """Return the statements that ``work`` sends to the database, in capitals."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement.lstrip().upper())

    db.session.expire_all()
    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    return seen
