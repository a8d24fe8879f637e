"""The tour's browser reads pages and fills in forms as a person without scripts does."""

import socket
import threading
from collections.abc import Iterator

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from portal.cli.tour.browser import Browser, Surprise
from portal.cli.tour.forms import NotThere, buttons, filled_in, form_of
from portal.cli.tour.html import parse

FORM = """
<!doctype html><title>Plans</title><h1>Plans</h1>
<form method="post" action="/save">
  <input type="hidden" name="token" value="t&amp;1">
  <label for="name">Name <span>(optional)</span></label><input id="name" name="name" value="Gold">
  <label>Note<textarea name="note">
first
second</textarea></label>
  <label for="unit">Unit</label>
  <select id="unit" name="unit">
    <option value="sec">Second<option value="min" selected>Minute</select>
  <fieldset><legend>Billing</legend>
    <input type="radio" name="billing" value="FREE" id="b1" checked><label for="b1">Free</label>
    <input type="radio" name="billing" value="PAID" id="b2"><label for="b2">Commercial</label>
  </fieldset>
  <fieldset><legend>Plans</legend>
    <input type="checkbox" name="plans" value="1" id="p1" checked>
    <label for="p1">Bronze : 9.99</label>
    <input type="checkbox" name="plans" value="2" id="p2"><label for="p2">Tokyo : 500</label>
  </fieldset>
  <input type="checkbox" name="stop" id="stop" checked><label for="stop">Stop</label>
  <input name="off" value="x" disabled>
  <button name="step" value="save">Save</button><button formaction="/other">Other</button>
</form>
<input name="outside" form="elsewhere" value="y">
"""


def sent(values):
    root = parse(FORM)
    return filled_in(root, form_of(root, buttons(root)[0]), values)


def test_a_form_sends_what_stands_in_it():
    assert sent({}) == [
        ("token", "t&1"),
        ("name", "Gold"),
        ("note", "first\nsecond"),
        ("unit", "min"),
        ("billing", "FREE"),
        ("plans", "1"),
        ("stop", "on"),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"Name": "Silver"}, [("name", "Silver")]),
        ({"name": "Silver"}, [("name", "Silver")]),
        ({"Unit": "Second"}, [("unit", "sec")]),
        ({"Billing": "Commercial"}, [("billing", "PAID")]),
        ({"billing": "PAID"}, [("billing", "PAID")]),
        ({"plans": ["Tokyo"]}, [("plans", "2")]),
        ({"plans": ["1", "Tokyo : 500"]}, [("plans", "1"), ("plans", "2")]),
        ({"plans": []}, []),
        ({"Stop": False}, []),
        ({"Stop": True}, [("stop", "on")]),
        ({"Note": "new"}, [("note", "new")]),
    ],
)
def test_fields_are_filled_in_by_label_or_name(values, expected):
    name = {"Name": "name", "Unit": "unit", "Billing": "billing", "Stop": "stop", "Note": "note"}
    key = next(iter(values))
    assert [pair for pair in sent(values) if pair[0] == name.get(key, key)] == expected


@pytest.mark.parametrize(
    ("values", "there"),
    [
        ({"Colour": "red"}, "Name"),
        ({"Unit": "Year"}, "Second, Minute"),
        ({"Billing": "Monthly"}, "Free, Commercial"),
        ({"off": "y"}, "Unit"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(values, there):
    with pytest.raises(NotThere, match=there):
        sent(values)


def test_open_elements_end_where_html_says():
    root = parse("<ul><li>one<li>two</ul><table><tr><td>a<td>b<tr><td>c</table><p>x<p>y<br>z")
    assert [item.words for item in root.all("li", "td", "p")] == [
        "one", "two", "a", "b", "c", "x", "y z",
    ]  # fmt: skip


def test_scripts_and_styles_are_not_words():
    root = parse("<main>Seen<script>hidden()</script><style>p{}</style></main>")
    assert root.words == "Seen"


@pytest.fixture
def site(httpserver: HTTPServer) -> HTTPServer:
    page = "<title>{0}</title><h1>{0}</h1><main>{1}</main>"
    httpserver.expect_request("/form").respond_with_data(FORM, content_type="text/html")

    def save(request: Request) -> Response:
        said = f"{sorted(request.form)} from {request.headers['Origin']}"
        return Response(page.format("Saved", said), mimetype="text/html")

    httpserver.expect_request("/save", method="POST").respond_with_handler(save)
    rows = (
        '<table><tr><td>One</td><td><a href="/form">Edit</a></td></tr>'
        '<tr><td>Two</td><td><a href="/two">Edit</a></td></tr></table>'
        "<dl><dt>Status</dt><dd>On hold <code>ON_HOLD</code></dd></dl>"
    )
    httpserver.expect_request("/list").respond_with_data(
        page.format("List", rows), content_type="text/html"
    )
    httpserver.expect_request("/two").respond_with_data(
        "<h1>Two</h1><h1>Again</h1>", content_type="text/html"
    )
    return httpserver


def test_a_button_sends_its_form_with_its_own_value(site):
    browser = Browser(site.url_for(""))
    browser.open("/form")
    page = browser.press("Save", {"Name": "Silver"})
    assert page.heading == "Saved"
    page.says("'step'", "'token'", site.url_for("").rstrip("/"))


def test_a_link_is_found_in_its_row(site):
    browser = Browser(site.url_for(""))
    browser.open("/list")
    assert browser.follow("Edit", within="Two").path == "/two"


def test_facts_and_rows_are_read(site):
    page = Browser(site.url_for("")).open("/list")
    assert page.fact("status") == "On hold ON_HOLD"
    assert page.rows("Two") == ["Two Edit"]
    assert page.row("Two") == "Two Edit"
    with pytest.raises(Surprise, match="has no row with Two, Save:"):
        page.row("Two", "Save")
    with pytest.raises(Surprise, match="it has: Status"):
        page.fact("Owner")


def test_a_page_without_title_or_with_two_headings_is_remembered(site):
    browser = Browser(site.url_for(""))
    browser.open("/two")
    assert browser.complaints == ["/two has 2 h1", "/two has no title"]


def test_an_unexpected_answer_is_a_surprise_that_shows_the_page(site):
    browser = Browser(site.url_for(""))
    with pytest.raises(Surprise, match="answered 500 and not 200"):
        browser.open("/nowhere")
    with pytest.raises(Surprise, match="does not say 'gone'"):
        browser.open("/list").says("gone")


def test_a_page_is_loaded_again_until_it_holds(httpserver: HTTPServer):
    looks = iter(["wait", "wait", "done"])
    httpserver.expect_request("/").respond_with_handler(
        lambda _request: Response(f"<title>x</title><h1>{next(looks)}</h1>", mimetype="text/html")
    )
    browser = Browser(httpserver.url_for(""))
    browser.open("/")
    assert browser.until(lambda page: page.heading == "done", "done").heading == "done"
    with pytest.raises(Surprise, match="did not come to more within 0 s"):
        browser.until(lambda page: page.heading == "more", "more", seconds=0)


def test_a_row_is_awaited_though_its_words_stand_above_already(httpserver: HTTPServer):
    bodies = iter(["<p>paid</p>", "<p>paid</p><ul><li>Tour: paid</li></ul>"])
    httpserver.expect_request("/").respond_with_handler(
        lambda _request: Response(f"<title>x</title><h1>x</h1>{next(bodies)}", mimetype="text/html")
    )
    browser = Browser(httpserver.url_for(""))
    browser.open("/")
    assert browser.await_row("paid") == "Tour: paid"


@pytest.fixture
def closing() -> Iterator[str]:
    """A server that closes a connection at the next request on it, unless asked to do so before."""
    page = b"<!doctype html><title>Here</title><h1>Here</h1>"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n" % len(page)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                with server.accept()[0] as connection:
                    asked = b"connection: close" in connection.recv(65536).lower()
                    said = b"Connection: close\r\n" if asked else b""
                    connection.sendall(head + said + b"\r\n" + page)
                    if not asked:
                        connection.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)


def test_a_server_that_closes_a_resting_connection_is_still_reached(closing):
    browser = Browser(closing)
    assert browser.open("/").heading == "Here"
    assert browser.open("/again").heading == "Here"
