"""A person at a browser, without a browser: opens pages, fills in forms, follows redirects."""

from typing import Any

from bs4 import BeautifulSoup, Tag
from flask import Flask
from werkzeug.test import TestResponse


class Browser:
    """Keeps cookies; checks each page that it opens."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.response: TestResponse | None = None
        self.soup = BeautifulSoup("", "html.parser")

    def get(self, path: str, *, expect: int = 200, follow: bool = True, **more: Any) -> "Browser":
        """Open a page, following redirects."""
        headers = {"Accept": "text/html,application/xhtml+xml", **more.pop("headers", {})}
        return self._took(
            self.client.get(path, headers=headers, follow_redirects=follow, **more), expect
        )

    def post(
        self,
        path: str,
        data: dict[str, Any] | None = None,
        *,
        expect: int = 200,
        follow: bool = True,
    ) -> "Browser":
        """Send a form as the page now open would, with its token."""
        token = self.soup.select_one("input[name=csrf_token]")
        fields = {"csrf_token": token["value"] if token else self._token(), **(data or {})}
        headers = {"Accept": "text/html,application/xhtml+xml"}
        return self._took(
            self.client.post(path, data=fields, headers=headers, follow_redirects=follow), expect
        )

    def submit(self, button: str, data: dict[str, Any] | None = None, **more: Any) -> "Browser":
        """Press a button by its words: sends the form around it with what is filled in."""
        pressed = self.button(button)
        form = pressed.find_parent("form")
        assert form is not None, f"{button} stands in no form"
        fields = _filled_in(form) | (data or {})
        if pressed.get("name"):
            fields[str(pressed["name"])] = str(pressed.get("value", ""))
        target = str(form.get("action") or self._path())
        if str(form.get("method", "get")).lower() == "get":
            return self.get(target, query_string=fields, **more)
        return self.post(target, fields, **more)

    def button(self, words: str) -> Tag:
        """Return the button with these words; fails naming those that are there."""
        buttons = self.soup.select("button, input[type=submit]")
        for item in buttons:
            if _words(item) == words or str(item.get("value", "")) == words:
                return item
        raise AssertionError(f"No button {words!r}; there are {[_words(b) for b in buttons]}")

    def link(self, words: str) -> str:
        """Return where the link with these words leads."""
        for item in self.soup.select("a[href]"):
            if _words(item) == words:
                return str(item["href"])
        raise AssertionError(f"No link {words!r} on {self._path()}")

    def sign_in(self, username: str, password: str = "open sesame") -> "Browser":
        """Sign in through the page; the portal's first page is not opened."""
        self.get("/account/sign-in")
        form = {"username": username, "password": password}
        return self.submit("Sign in", form, follow=False, expect=303)

    @property
    def text(self) -> str:
        """All words of the page."""
        return " ".join(self.soup.get_text(" ").split())

    @property
    def location(self) -> str:
        """Where the last answer redirects to."""
        assert self.response is not None
        return str(self.response.headers.get("Location", ""))

    def _took(self, response: TestResponse, expect: int) -> "Browser":
        self.response = response
        assert response.status_code == expect, (
            f"{response.request.path} answered {response.status_code}: "
            f"{response.get_data(as_text=True)[:2000]}"
        )
        if (response.mimetype == "text/html" and response.status_code < 300) or (
            response.mimetype == "text/html" and response.status_code >= 400
        ):
            from tests.pages import check_page

            self.soup = check_page(response)
        return self

    def _path(self) -> str:
        assert self.response is not None
        return self.response.request.path

    def _token(self) -> str:
        self.get("/account/sign-in")
        token = self.soup.select_one("input[name=csrf_token]")
        assert token is not None
        return str(token["value"])


def _words(tag: Tag) -> str:
    return " ".join(tag.get_text(" ").split())


def _filled_in(form: Tag) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for item in form.select("input[name], textarea[name]"):
        kind = str(item.get("type", "text"))
        if kind in ("checkbox", "radio") and not item.has_attr("checked"):
            continue
        if kind in ("submit", "button", "file"):
            continue
        value = item.get_text() if item.name == "textarea" else str(item.get("value", ""))
        if kind == "checkbox":
            value = value or "on"
            known = fields.get(str(item["name"]))
            fields[str(item["name"])] = [*known, value] if isinstance(known, list) else [value]
        else:
            fields[str(item["name"])] = value
    for item in form.select("select[name]"):
        chosen = item.select("option[selected]") or item.select("option")[:1]
        if item.has_attr("multiple"):
            chosen = item.select("option[selected]")
        values = [str(option.get("value", option.get_text())) for option in chosen]
        if values:
            fields[str(item["name"])] = values if item.has_attr("multiple") else values[0]
    return fields
