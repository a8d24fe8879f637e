"""How many statements a page costs: the same for five rows and for fifty."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from portal.extensions import db


def count(work: Callable[[], Any]) -> int:
    """Return how many SELECT statements ``work`` sends to the database."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            seen.append(statement)

    db.session.expire_all()
    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    return len(seen)
