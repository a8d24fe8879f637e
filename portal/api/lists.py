"""Parts of lists."""

from typing import Any
from urllib.parse import urlencode

from flask import request

from portal.api.schemas.base import Pagination, Paging
from portal.services.paging import Page, Slice


def wanted(query: Paging) -> Slice:
    """Return the part that a request asks for."""
    return Slice(offset=query.offset, limit=query.limit)


def pagination(part: Slice, total: int) -> Pagination:
    """Return where the part stands, with the addresses of its neighbours as WSO2 writes them.

    They begin below the API's base path: ``/apis?limit=25&offset=25``.
    """
    after = part.offset + part.limit
    before = max(part.offset - part.limit, 0)
    return Pagination(
        offset=part.offset,
        limit=part.limit,
        total=total,
        next=_address(part.limit, after) if after < total else "",
        previous=_address(part.limit, before) if part.offset > 0 else "",
    )


def place(part: Slice, page: Page[Any]) -> Pagination:
    """Return where a page of a service stands."""
    return pagination(part, page.total)


def _address(limit: int, offset: int) -> str:
    kept = {name: value for name, value in request.args.items() if name not in ("limit", "offset")}
    # /api/am/publisher/v4/apis -> /apis
    below = "/" + request.path.split("/", 5)[5]
    return f"{below}?{urlencode({'limit': limit, 'offset': offset, **kept})}"
