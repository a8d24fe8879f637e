"""Markdown that people wrote, as HTML that is safe to show."""

from functools import lru_cache
from itertools import pairwise

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

#: Raw HTML is shown as text. Images are dropped: the pages load nothing from other hosts.
_parser = MarkdownIt("commonmark", {"html": False}).enable("table")
_TAGS = {
    *("p", "br", "hr", "strong", "em", "code", "pre", "blockquote", "a", "ul", "ol", "li"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
#: The page itself has the levels one and two.
_LEVELS_DOWN = 2


@lru_cache(maxsize=256)
def to_html(text: str) -> str:
    """Return sanitised HTML; headings begin at the third level."""
    tokens = _parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + _LEVELS_DOWN, 6)}"
    rendered = _parser.renderer.render(tokens, _parser.options, {})
    return nh3.clean(
        rendered,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )


@lru_cache(maxsize=1024)
def summary(text: str, most: int = 160) -> str:
    """Return the first paragraph as plain text, cut at a word if it is longer than ``most``."""
    tokens = _parser.parse(text[:5000])
    for opened, inline in pairwise(tokens):
        if opened.type == "paragraph_open":
            return _cut(_words(inline), most)
    return ""


def _words(inline: Token) -> str:
    parts = [
        child.content if child.type in ("text", "code_inline") else " "
        for child in inline.children or ()
        if child.type in ("text", "code_inline", "softbreak", "hardbreak")
    ]
    return " ".join("".join(parts).split())


def _cut(words: str, most: int) -> str:
    if len(words) <= most:
        return words
    return words[:most].rsplit(" ", 1)[0].rstrip(",.;:") + " …"
