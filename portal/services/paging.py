"""One page of a long list: the rows, and where the page stands among the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select, func, select

from portal.extensions import db

T = TypeVar("T")
U = TypeVar("U")
PER_PAGE = 20


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
