"""One page of a long list: the rows, and where the page stands among the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, Select, bindparam, func, select

from portal.extensions import db

T = TypeVar("T")
U = TypeVar("U")
PER_PAGE = 20
_TOTAL = "rows_in_all"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a list as programs ask for it: pass over ``offset`` rows, take ``limit``."""

    offset: int
    limit: int


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """What ``components/pagination.html`` shows."""

    items: Sequence[T]
    page: int
    per_page: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are; at least one."""
        return max(1, -(-self.total // self.per_page))

    @property
    def first(self) -> int:
        """The number of the first row on this page, from 1; 0 without rows."""
        return (self.page - 1) * self.per_page + 1 if self.total else 0

    @property
    def last(self) -> int:
        """The number of the last row on this page."""
        return min(self.page * self.per_page, self.total)

    @property
    def has_prev(self) -> bool:
        """Whether there is a page before."""
        return self.page > 1

    @property
    def has_next(self) -> bool:
        """Whether there is a page after."""
        return self.page < self.pages

    @property
    def prev_num(self) -> int:
        """The number of the page before."""
        return self.page - 1

    @property
    def next_num(self) -> int:
        """The number of the page after."""
        return self.page + 1

    def map(self, change: Callable[[T], U]) -> "Page[U]":
        """Return the same page with each row changed."""
        return Page(
            items=[change(item) for item in self.items],
            page=self.page,
            per_page=self.per_page,
            total=self.total,
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a page stands in a list whose length is known."""

    number: int
    per_page: int
    total: int

    @property
    def offset(self) -> int:
        """How many rows come before."""
        return (self.number - 1) * self.per_page

    def page(self, items: Sequence[T]) -> Page[T]:
        """Return the page with its rows."""
        return Page(items=items, page=self.number, per_page=self.per_page, total=self.total)


def place_in(total: int, number: int, *, per_page: int = PER_PAGE) -> Place:
    """Return where a page stands; beyond either end it is the nearest."""
    last = max(1, -(-total // per_page))
    return Place(number=min(max(number, 1), last), per_page=per_page, total=total)


def page_of(query: Select[Any], number: int | Slice, *, per_page: int = PER_PAGE) -> Page[Any]:
    """Run a query for one page: one statement for rows of one column, else two.

    A number beyond either end is answered with the nearest page, so that no address is a dead
    end. A slice is answered as it is, empty beyond the end. Rows of one column come as the
    column's value.
    """
    if isinstance(number, Slice):
        items, total = _rows(query, number.limit, number.offset)
        page, per_page = number.offset // number.limit + 1, number.limit
        return Page(items=items, page=page, per_page=per_page, total=total)
    page = max(number, 1)
    items, total = _rows(query, per_page, (page - 1) * per_page)
    if not items and total:
        page = -(-total // per_page)
        items, total = _rows(query, per_page, (page - 1) * per_page)
    return Page(items=items, page=page if items else 1, per_page=per_page, total=total)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A list's statements, built once: a page with the number of all rows, and that number."""

    rows: Select[Any]
    total: Select[Any]


def counted(query: Select[Any], table: Any, *conditions: Any) -> Counted:
    """Return the statements of a list for :func:`counted_page`.

    :param query: a statement on tables, with its order, and with ``bindparam`` for what differs
    :param table: whose rows are listed, each once
    :param conditions: on that table, which say which; added to ``query``
    """
    total = select(func.count()).select_from(table).where(*conditions)
    rows = query.where(*conditions).add_columns(total.scalar_subquery().label(_TOTAL))
    return Counted(rows=rows.limit(bindparam("most")).offset(bindparam("skip")), total=total)


def counted_page(
    query: Counted, values: Mapping[str, Any], number: int, *, per_page: int = PER_PAGE
) -> Page[Row[Any]]:
    """Return a page of a list: one statement, three beyond its end, where the last page is meant.

    :param values: of the statement's ``bindparam``
    """
    connection = db.session.connection()
    at = Place(number=max(number, 1), per_page=per_page, total=0)
    taken = {**values, "most": per_page, "skip": at.offset}
    rows = connection.execute(query.rows, taken).all()
    if rows:
        return replace(at, total=getattr(rows[0], _TOTAL)).page(rows)
    total = connection.scalar(query.total, values) or 0 if at.number > 1 else 0
    at = place_in(total, number, per_page=per_page)
    if total:
        rows = connection.execute(query.rows, {**taken, "skip": at.offset}).all()
    return at.page(rows)


def _rows(query: Select[Any], limit: int, offset: int) -> tuple[Sequence[Any], int]:
    """Return some rows, and how many there are in all."""
    counted = select(func.count()).select_from(
        query.with_only_columns(*_keys(query)).order_by(None).subquery()
    )
    part = query.limit(limit).offset(offset)
    if len(query.column_descriptions) > 1:
        total = db.session.scalar(counted) or 0
        return db.session.execute(part).unique().all(), total
    rows = db.session.execute(part.add_columns(counted.scalar_subquery())).unique().all()
    if rows:
        return [row[0] for row in rows], rows[0][1]
    return [], db.session.scalar(counted) or 0 if offset else 0


def _keys(query: Select[Any]) -> Sequence[Any]:
    """Return the primary key of what is listed: enough to count rows."""
    return list(query.column_descriptions[0]["entity"].__table__.primary_key)
