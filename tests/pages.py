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
    problems = [
        *_frame(soup),
        *_identifiers(soup),
        *_controls(soup),
        *_inline(soup),
        *_forms(soup),
        *_tables(soup),
        *_elsewhere(soup),
    ]
    assert not problems, f"{name}:\n  " + "\n  ".join(problems)
    return soup


def words(tag: Tag) -> str:
    """Return the text of an element with single spaces."""
    return " ".join(tag.get_text(" ").split())


def _frame(soup: BeautifulSoup) -> list[str]:
    problems = []
    first = next((item for item in soup.contents if str(item).strip()), None)
    if not (isinstance(first, Doctype) and first.strip().lower() == "html"):
        problems.append("does not begin with <!doctype html>")
    if soup.html is None or not soup.html.get("lang"):
        problems.append("<html> has no lang")
    if not soup.title or not words(soup.title).partition("·")[0].strip():
        problems.append("has no title of its own")
    headings = [words(heading) for heading in soup.select("h1")]
    if len(headings) != 1 or not headings[0]:
        problems.append(f"needs one h1 with words, has {headings}")
    if len(soup.select("main")) != 1:
        problems.append("needs one <main>")
    problems += [f"image without alt: {tag}" for tag in soup.select("img:not([alt])")]
    return problems


def _identifiers(soup: BeautifulSoup) -> list[str]:
    counted = Counter(str(tag["id"]) for tag in soup.select("[id]"))
    problems = [f"id {name!r} is used {n} times" for name, n in counted.items() if n > 1]
    problems += ["an id is empty"] if "" in counted else []
    for attribute in REFERENCES:
        for tag in soup.select(f"[{attribute}]"):
            for name in str(tag[attribute]).split():
                if name not in counted:
                    problems.append(f"{attribute}={name!r} names no element")
    for link in soup.select('a[href^="#"]'):
        target = str(link["href"])[1:]
        if target not in counted:
            problems.append(f"link #{target} leads nowhere")
    return problems


def _controls(soup: BeautifulSoup) -> list[str]:
    problems = []
    labelled = {str(tag["for"]) for tag in soup.select("label[for]") if words(tag)}
    silent = {"hidden", "submit", "button", "reset", "image"}
    for tag in soup.select("input, select, textarea"):
        if tag.get("type") in silent and tag.name == "input":
            continue
        named = tag.get("aria-label") or tag.get("aria-labelledby") or tag.find_parent("label")
        if not named and tag.get("id") not in labelled:
            problems.append(f"no label: {_start(tag)}")
    for tag in soup.select("button, a[href], summary"):
        if not (words(tag) or tag.get("aria-label") or tag.select("[aria-label]")):
            problems.append(f"no words: {_start(tag)}")
    for tag in soup.select("fieldset"):
        if not tag.find("legend"):
            problems.append(f"no legend: {_start(tag)}")
    return problems


def _inline(soup: BeautifulSoup) -> list[str]:
    problems = [f"inline style sheet: {_start(tag)}" for tag in soup.select("style")]
    for tag in soup.select("script:not([src])"):
        if tag.get("type") != "application/json":
            problems.append(f"inline script: {_start(tag)}")
    for tag in soup.find_all(True):
        for attribute, value in tag.attrs.items():
            if attribute == "style" or attribute.startswith("on"):
                problems.append(f"attribute {attribute}: {_start(tag)}")
            if str(value).strip().lower().startswith("javascript:"):
                problems.append(f"javascript address: {_start(tag)}")
    return problems


def _forms(soup: BeautifulSoup) -> list[str]:
    problems = []
    for form in soup.select("form"):
        method = str(form.get("method", "get")).lower()
        tokens = form.select("input[name=csrf_token]")
        if method == "post" and (len(tokens) != 1 or not tokens[0].get("value")):
            problems.append(f"needs one csrf_token, has {len(tokens)}: {_start(form)}")
        if method == "get" and tokens:
            problems.append(f"puts the csrf_token into the address: {_start(form)}")
        if form.find_parent("form"):
            problems.append(f"a form in a form: {_start(form)}")
    return problems


def _tables(soup: BeautifulSoup) -> list[str]:
    problems = []
    for table in soup.select("table"):
        if not table.find("caption"):
            problems.append(f"table without caption: {_start(table)}")
    for cell in soup.select(".data-table tbody td:not([data-label]):not(.actions)"):
        problems.append(f"cell without data-label, unreadable on a phone: {cell}"[:160])
    return problems


def _elsewhere(soup: BeautifulSoup) -> list[str]:
    problems = []
    for name, attribute in LOADED:
        for tag in soup.select(f"{name}[{attribute}]"):
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
