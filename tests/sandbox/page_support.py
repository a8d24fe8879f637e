"""Reads and fills the sandbox's pages the way a browser without JavaScript does."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Tag
from flask import Flask
from werkzeug.test import TestResponse

BASE = "http://sandbox.test"
GOOD = "4242424242424242"
DECLINED = "4000000000000002"
ASKS_ALWAYS = "4000002760003184"
FAILS_LATER = "4000000000000341"


@dataclass
class Seen:
    """A page that was answered, and where it came from."""

    visitor: "Visitor"
    answer: TestResponse
    url: str

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def location(self) -> str:
        return self.answer.headers["Location"]

    @property
    def soup(self) -> BeautifulSoup:
        return BeautifulSoup(self.answer.get_data(as_text=True), "html.parser")

    @property
    def text(self) -> str:
        return " ".join(self.soup.get_text(" ").split())

    def error(self, field: str) -> str:
        found = self.soup.select_one(f"#{field}-error")
        return found.get_text(strip=True) if found else ""

    def link(self, text: str) -> str:
        found = [each for each in self.soup.select("a") if text in each.get_text(" ")]
        assert len(found) == 1, f"one link {text!r} on {self.url}, found {len(found)}"
        return str(found[0]["href"])

    def form(self, button: str) -> Tag:
        for form in self.soup.select("form"):
            if any(button in each.get_text(" ") for each in form.select("button")):
                return form
        raise AssertionError(f"no button {button!r} on {self.url}")

    def press(self, button: str, **typed: str) -> "Seen":
        """Fill the form that has `button` and press it, following nothing."""
        form = self.form(button)
        values = {
            str(each["name"]): str(each.get("value", ""))
            for each in form.select("input[name]")
            if each.get("type") not in ("radio", "checkbox") or each.has_attr("checked")
        }
        for each in form.select("select"):
            chosen = each.select_one("option[selected]") or each.select_one("option")
            values[str(each["name"])] = str(chosen["value"]) if chosen else ""
        pressed = next(each for each in form.select("button") if button in each.get_text(" "))
        if pressed.get("name"):
            values[str(pressed["name"])] = str(pressed["value"])
        target = urljoin(self.url, str(form.get("action") or self.url))
        return self.visitor.post(target, {**values, **typed})

    def follow(self) -> "Seen":
        """Go where a 303 of the sandbox itself leads."""
        assert self.status == 303, self.text
        return self.visitor.get(urljoin(self.url, self.location))


class Visitor:
    """A browser with cookies."""

    def __init__(self, app: Flask) -> None:
        self._client = app.test_client()

    def get(self, url: str, **more: Any) -> Seen:
        parts = urlsplit(url)
        answer = self._client.get(
            parts.path, query_string=parts.query, base_url=BASE, buffered=True, **more
        )
        return Seen(self, answer, url)

    def post(self, url: str, data: dict[str, str], origin: str = BASE) -> Seen:
        answer = self._client.post(
            urlsplit(url).path,
            query_string=urlsplit(url).query,
            base_url=BASE,
            data=data,
            headers={"Origin": origin} if origin else {},
        )
        return Seen(self, answer, url)


def card(number: str = GOOD, **more: str) -> dict[str, str]:
    """What a customer types: a card and nothing unusual."""
    return {"card_number": number, "exp": "12 / 40", "cvc": "123", "name": "Dana Ortiz", **more}
