"""A person at a browser without scripts: opens pages, follows links, fills in forms."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from urllib.parse import urldefrag, urljoin, urlsplit

import requests

from portal.cli.tour import forms
from portal.cli.tour.forms import NotThere, Value
from portal.cli.tour.html import Element, parse

SECONDS = 20
#: A page that refreshes itself is looked at again after this long, whatever it asks for.
AGAIN = 0.3
Files = dict[str, tuple[str, bytes]]


class Surprise(Exception):
    """A page or an answer is not what a person would expect; the message says what was seen."""


@dataclass
class Page:
    """A page as it was answered."""

    url: str
    status: int
    root: Element
    raw: str = field(repr=False)

    @property
    def path(self) -> str:
        """The address without its origin."""
        parts = urlsplit(self.url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    @property
    def heading(self) -> str:
        """The words of the page's h1; empty when it has none."""
        found = self.root.first("h1")
        return found.words if found else ""

    @property
    def words(self) -> str:
        """Everything that a person reads on the page, without navigation and menus."""
        main = self.root.first("main") or self.root
        return main.words

    @property
    def refreshes(self) -> bool:
        """Whether the page asks to be loaded again by itself."""
        return any(item["http-equiv"].lower() == "refresh" for item in self.root.all("meta"))

    def links(self) -> list[Element]:
        """Return the page's links, those of its content first."""
        main = self.root.first("main")
        inside = [item for item in main.all("a") if item["href"]] if main else []
        return inside + [item for item in self.root.all("a") if item["href"] and item not in inside]

    def says(self, *wanted: str) -> "Page":
        """Return this page if all these words stand on it.

        :raise Surprise: naming the words that are missing and what stands there instead
        """
        missing = [words for words in wanted if words.lower() not in self.words.lower()]
        if missing:
            raise Surprise(f"{self.path} does not say {missing[0]!r}; it says: {self.glimpse}")
        return self

    def says_not(self, *unwanted: str) -> "Page":
        """Return this page if none of these words stands on it."""
        present = [words for words in unwanted if words.lower() in self.words.lower()]
        if present:
            raise Surprise(f"{self.path} says {present[0]!r}: {self.glimpse}")
        return self

    @property
    def glimpse(self) -> str:
        """The beginning of the page's words, for a message."""
        return self.words[:400]

    def fact(self, label: str) -> str:
        """Return what stands beside a label in a list of facts.

        :raise Surprise: if the label is not there
        """
        labels = []
        for term in self.root.all("dt"):
            if term.words.lower() == label.lower():
                return _after(term)
            labels.append(term.words)
        raise Surprise(f"{self.path} has no fact {label!r}; it has: {', '.join(labels)}")

    def rows(self, *wanted: str) -> list[str]:
        """Return the words of the table rows and list entries that hold all these words."""
        found = [item.words for item in self.root.all("tr", "li", "article")]
        return [row for row in found if all(words in row for words in wanted)]

    def row(self, *wanted: str) -> str:
        """Return the words of the first row or entry that holds all these words.

        :raise Surprise: if there is none, with what the page says
        """
        found = self.rows(*wanted)
        if not found:
            raise Surprise(f"{self.path} has no row with {', '.join(wanted)}: {self.glimpse}")
        return found[0]

    def complaints(self) -> list[str]:
        """Return what no page may lack: a title and exactly one h1."""
        found = []
        headings = sum(1 for _ in self.root.all("h1"))
        if headings != 1:
            found.append(f"{self.path} has {headings} h1")
        title = self.root.first("title")
        if title is None or not title.raw.strip():
            found.append(f"{self.path} has no title")
        return found


class Browser:
    """One person's browser: keeps cookies and the page that is open."""

    def __init__(self, origin: str, name: str = "visitor") -> None:
        self.origin = origin.rstrip("/")
        self.name = name
        self.pages = 0
        self.complaints: list[str] = []
        self._page: Page | None = None
        self._session = requests.Session()
        # A proxy of the environment could not reach this machine's own servers.
        self._session.trust_env = False
        self._session.headers["Accept"] = "text/html,application/xhtml+xml"
        self._session.headers["User-Agent"] = "portal-tour"
        # A kept connection may just be closing at the server's end when the next form is sent.
        self._session.headers["Connection"] = "close"

    @property
    def page(self) -> Page:
        """The page that is open now."""
        if self._page is None:
            raise Surprise("No page is open yet.")
        return self._page

    def open(self, address: str, *, expect: int = 200) -> Page:
        """Go to an address on the portal or a full one; fails unless it answers `expect`."""
        start = self._page.url if self._page else self.origin
        target = address if "://" in address else urljoin(self.origin, address)
        return self._go("GET", target, expect=expect, start=start)

    def reload(self) -> Page:
        """Load the open page again, as its refresh or a person would."""
        return self.open(self.page.url)

    def follow(self, words: str, *, within: str = "", expect: int = 200) -> Page:
        """Follow the link with these words; `within` are words of the row or card around it."""
        link = self._pick(self.page.links(), words, within, "link")
        return self.open(urljoin(self.page.url, link["href"]), expect=expect)

    def has(self, words: str) -> bool:
        """Tell whether a link or a button with these words is on the page."""
        captions = [forms.caption(item) for item in forms.buttons(self.page.root)]
        return words in captions or words in [item.words for item in self.page.links()]

    def press(
        self,
        words: str,
        values: Mapping[str, Value] | None = None,
        *,
        within: str = "",
        files: Files | None = None,
        expect: int = 200,
    ) -> Page:
        """Fill in the form around a button by its labels, and press the button.

        A link with these words is followed where no such button is and nothing is filled in.
        `files` are chosen for the form's file fields: name and content by field.
        """
        root = self.page.root
        found = [item for item in forms.buttons(root) if forms.caption(item) == words]
        if not found and not values:
            return self.follow(words, within=within, expect=expect)
        button = self._pick(forms.buttons(root), words, within, "button")
        form = forms.form_of(root, button)
        pairs = forms.filled_in(root, form, values or {})
        if button["name"]:
            pairs.append((button["name"], button["value"]))
        return self._send(form, button, pairs, files or {}, expect)

    def until(self, holds: Callable[[Page], bool], what: str, *, seconds: float = SECONDS) -> Page:
        """Load the open page again and again until something holds.

        :raise Surprise: when time is up, with what the page says then
        """
        end = time.monotonic() + seconds
        while not holds(self.page):
            if time.monotonic() > end:
                raise Surprise(
                    f"{self.page.path} did not come to {what} within {seconds:g} s; "
                    f"it says: {self.page.glimpse}"
                )
            time.sleep(AGAIN)
            self.reload()
        return self.page

    def await_row(self, *wanted: str) -> str:
        """Load the open page until a row or entry holds all these words; return its words.

        Words that stand on the page are not enough: what stands above a page is read from the
        database after its list, and may be newer.
        """
        named = " and ".join(wanted)
        return self.until(lambda page: bool(page.rows(*wanted)), f"a row with {named}").row(*wanted)

    def _pick(self, items: list[Element], words: str, within: str, kind: str) -> Element:
        named = [item for item in items if forms.caption(item) == words]
        fitting = [item for item in named if not within or within in _around(item, within)]
        if fitting:
            return fitting[0]
        there = ", ".join(dict.fromkeys(forms.caption(item)[:60] for item in items))
        place = f" beside {within!r}" if within else ""
        raise NotThere(f"{self.page.path} has no {kind} {words!r}{place}; it has: {there}")

    def _send(
        self, form: Element, button: Element, pairs: forms.Pairs, files: Files, expect: int
    ) -> Page:
        here = self.page.url
        target = urljoin(here, button["formaction"] or form["action"] or here)
        method = (button["formmethod"] or form["method"] or "get").upper()
        if method == "GET":
            bare = urlsplit(target)._replace(query="").geturl()
            return self._go("GET", bare, expect=expect, start=here, params=pairs)
        if form["enctype"] == "multipart/form-data":
            parts = [*((name, (None, value)) for name, value in pairs), *files.items()]
            return self._go("POST", target, expect=expect, start=here, files=parts)
        return self._go("POST", target, expect=expect, start=here, data=pairs)

    def _go(self, method: str, url: str, *, expect: int, start: str, **more: object) -> Page:
        headers = {"Referer": urldefrag(start)[0]}
        if method == "POST":
            parts = urlsplit(start)
            headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
        try:
            answer = self._session.request(
                method,
                url,
                headers=headers,
                timeout=SECONDS,
                **more,  # type: ignore[arg-type]
            )
        except requests.RequestException as error:
            raise Surprise(f"{url} can't be reached: {type(error).__name__}.") from error
        return self._took(answer, expect)

    def _took(self, answer: requests.Response, expect: int) -> Page:
        page = Page(answer.url, answer.status_code, parse(answer.text), answer.text)
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            self._page = page
            self.pages += 1
            self.complaints += page.complaints()
        if page.status != expect:
            raise Surprise(f"{page.path} answered {page.status} and not {expect}: {page.glimpse}")
        return page


def _after(term: Element) -> str:
    siblings = term.parent.children if term.parent else []
    following = siblings[siblings.index(term) + 1 :]
    elements = [item for item in following if isinstance(item, Element)]
    beside = takewhile(lambda item: item.tag == "dd", elements)
    return " ".join(item.words for item in beside)


def _around(item: Element, within: str) -> str:
    """Return the words of the smallest row, card or section around an element that has them."""
    around = item.parent
    while around is not None and around.tag not in ("main", "body", "#document"):
        if re.search(re.escape(within), around.words):
            return around.words
        if around.tag in ("tr", "li", "article", "section"):
            return around.words
        around = around.parent
    return ""
