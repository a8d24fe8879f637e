"""JSON for reading: indented, coloured, and its ids linked to their own pages."""

from __future__ import annotations

import json
import re
from typing import Any

from flask import url_for
from markupsafe import Markup, escape

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)'
    r'|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<word>\b(?:true|false|null)\b|-?\b[0-9]+(?:\.[0-9]+)?\b)"
)
_ID = re.compile(
    r'"((?:cus|sub|in|pi|pm|price|prod|cs|we|bpc|bps|inpay|mtr)_[A-Za-z0-9_]+|acct_[A-Za-z0-9]+'
    r'|req_[A-Za-z0-9]+)"'
)


def pretty(value: Any) -> Markup:
    """Return `value` as HTML for a `<pre>`."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    parts: list[Markup] = []
    position = 0
    for found in _TOKEN.finditer(text):
        parts.append(escape(text[position : found.start()]))
        parts.append(_mark(found.lastgroup or "", found[0]))
        position = found.end()
    parts.append(escape(text[position:]))
    return Markup("").join(parts)


def _mark(group: str, text: str) -> Markup:
    identifier = _ID.fullmatch(text) if group == "text" else None
    if identifier is None:
        return Markup('<span class="json-{}">{}</span>').format(group, text)
    return Markup('<a class="json-text" href="{}">{}</a>').format(address(identifier[1]), text)


def address(identifier: str) -> str:
    """Return the control room's page about `identifier`."""
    if identifier.startswith("acct_"):
        return url_for("room.account_page", identifier=identifier)
    if identifier.startswith("evt_"):
        return url_for("room.event_page", identifier=identifier)
    if identifier.startswith("req_"):
        return url_for("room.request_page", identifier=identifier)
    return url_for("room.object_page", identifier=identifier)
