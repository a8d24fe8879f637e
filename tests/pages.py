"""What must hold on every page, whatever it shows."""

from collections import Counter
from urllib.parse import urlsplit

from bs4 import BeautifulSoup, Tag
from bs4.element import Doctype
from werkzeug.test import TestResponse

PORTAL_HOSTS = {"", "localhost", "127.0.0.1"}
REFERENCES = ("for", "form", "aria-describedby", "aria-labelledby", "aria-controls", "data-copy")
LOADED = (
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("use", "href"),
    ("object", "data"),
    ("video", "src"),
    ("form", "action"),
    ("button", "formaction"),
)


def check_page(response: TestResponse) -> BeautifulSoup:
    """Return the parsed page of an answer; fails with everything that is wrong with it."""
    assert response.mimetype == "text/html", response.mimetype
    assert "script-src 'self'" in response.headers.get("Content-Security-Policy", "")
    return check_html(response.get_data(as_text=True), response.request.path)


def check_html(html: str, name: str = "page") -> BeautifulSoup:
    """Return the parsed page after checking it; ``name`` says in the failure which page it was."""
    soup = BeautifulSoup(html, "html.parser")
    page = Page(soup)
    problems = [
        *_frame(page),
        *_identifiers(page),
        *_controls(page),
        *_inline(page),
        *_forms(page),
        *_tables(page),
        *_elsewhere(page),
    ]
    assert not problems, f"{name}:\n  " + "\n  ".join(problems)
    return soup


class Page:
    """The elements of a page, gone through once: selecting them again for each rule took longer
    than making the page."""

    def __init__(self, soup: BeautifulSoup) -> None:
        self.soup = soup
        self.tags: list[Tag] = soup.find_all(True)
        self._by_name: dict[str, list[Tag]] = {}
        self._with: dict[str, list[Tag]] = {}
        for tag in self.tags:
            self._by_name.setdefault(tag.name, []).append(tag)
            for attribute in tag.attrs:
                self._with.setdefault(attribute, []).append(tag)

    def named(self, *names: str) -> list[Tag]:
        """Return the elements of these kinds."""
        return [tag for name in names for tag in self._by_name.get(name, ())]

    def having(self, attribute: str) -> list[Tag]:
        """Return the elements with this attribute, also an empty one."""
        return self._with.get(attribute, [])


def words(tag: Tag) -> str:
    """Return the text of an element with single spaces."""
    return " ".join(tag.get_text(" ").split())


def _frame(page: Page) -> list[str]:
    soup, problems = page.soup, []
    first = next((item for item in soup.contents if str(item).strip()), None)
    if not (isinstance(first, Doctype) and first.strip().lower() == "html"):
        problems.append("does not begin with <!doctype html>")
    if soup.html is None or not soup.html.get("lang"):
        problems.append("<html> has no lang")
    if not soup.title or not words(soup.title).partition("·")[0].strip():
        problems.append("has no title of its own")
    headings = [words(heading) for heading in page.named("h1")]
    if len(headings) != 1 or not headings[0]:
        problems.append(f"needs one h1 with words, has {headings}")
    if len(page.named("main")) != 1:
        problems.append("needs one <main>")
    pictures = (tag for tag in page.named("img") if not tag.has_attr("alt"))
    return problems + [f"image without alt: {tag}" for tag in pictures]


def _identifiers(page: Page) -> list[str]:
    counted = Counter(str(tag["id"]) for tag in page.having("id"))
    problems = [f"id {name!r} is used {n} times" for name, n in counted.items() if n > 1]
    problems += ["an id is empty"] if "" in counted else []
    for attribute in REFERENCES:
        for tag in page.having(attribute):
            for name in str(tag[attribute]).split():
                if name not in counted:
                    problems.append(f"{attribute}={name!r} names no element")
    for link in page.named("a"):
        target = str(link.get("href", ""))
        if target.startswith("#") and target[1:] not in counted:
            problems.append(f"link {target} leads nowhere")
    return problems


def _controls(page: Page) -> list[str]:
    labelled = {str(tag.get("for")) for tag in page.named("label") if words(tag)}
    fields = page.named("input", "select", "textarea")
    presses = [
        *page.named("button", "summary"),
        *(a for a in page.named("a") if a.has_attr("href")),
    ]
    return [
        *(f"no label: {_start(tag)}" for tag in fields if not _is_labelled(tag, labelled)),
        *(f"no words: {_start(tag)}" for tag in presses if not _says_something(tag)),
        *(f"no legend: {_start(tag)}" for tag in page.named("fieldset") if not tag.find("legend")),
    ]


def _is_labelled(tag: Tag, labelled: set[str]) -> bool:
    silent = {"hidden", "submit", "button", "reset", "image"}
    if tag.name == "input" and tag.get("type") in silent:
        return True
    named = tag.get("aria-label") or tag.get("aria-labelledby") or tag.find_parent("label")
    return bool(named) or tag.get("id") in labelled


def _says_something(tag: Tag) -> bool:
    return bool(words(tag) or tag.get("aria-label") or tag.find(attrs={"aria-label": True}))


def _inline(page: Page) -> list[str]:
    problems = [f"inline style sheet: {_start(tag)}" for tag in page.named("style")]
    for tag in page.named("script"):
        if not tag.has_attr("src") and tag.get("type") != "application/json":
            problems.append(f"inline script: {_start(tag)}")
    for tag in page.tags:
        for attribute, value in tag.attrs.items():
            if attribute == "style" or attribute.startswith("on"):
                problems.append(f"attribute {attribute}: {_start(tag)}")
            if str(value).strip().lower().startswith("javascript:"):
                problems.append(f"javascript address: {_start(tag)}")
    return problems


def _forms(page: Page) -> list[str]:
    problems = []
    for form in page.named("form"):
        method = str(form.get("method", "get")).lower()
        tokens = form.find_all("input", attrs={"name": "csrf_token"})
        if method == "post" and (len(tokens) != 1 or not tokens[0].get("value")):
            problems.append(f"needs one csrf_token, has {len(tokens)}: {_start(form)}")
        if method == "get" and tokens:
            problems.append(f"puts the csrf_token into the address: {_start(form)}")
        if form.find_parent("form"):
            problems.append(f"a form in a form: {_start(form)}")
    return problems


def _tables(page: Page) -> list[str]:
    problems = []
    for table in page.named("table"):
        if not table.find("caption"):
            problems.append(f"table without caption: {_start(table)}")
    for cell in page.named("td"):
        if cell.has_attr("data-label") or "actions" in cell.get("class", ()):
            continue
        body = cell.find_parent("tbody")
        if body is not None and body.find_parent(class_="data-table"):
            problems.append(f"cell without data-label, unreadable on a phone: {cell}"[:160])
    return problems


def _elsewhere(page: Page) -> list[str]:
    problems = []
    for name, attribute in LOADED:
        for tag in page.named(name):
            if not tag.has_attr(attribute):
                continue
            parts = urlsplit(str(tag[attribute]).strip())
            if parts.scheme == "data" and name == "img":
                continue
            if (parts.hostname or "") not in PORTAL_HOSTS or parts.scheme not in (
                "",
                "http",
                "https",
            ):
                problems.append(f"from another host: {_start(tag)}")
    return problems


def _start(tag: Tag) -> str:
    """Return the opening tag, cut to a line."""
    return str(tag).partition(">")[0][:140] + ">"
