"""What is drawn once for many rows is escaped as a template escapes it."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from flask import Flask
from jinja2 import DictLoader
from markupsafe import Markup

from portal.web import drawing

HOSTILE = """"><script>alert('1')</script>%(name)s{{ 7 * 7 }}&\ufdd0name\ufdd1"""
ESCAPED = (
    "&#34;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;%(name)s{{ 7 * 7 }}"
    "&amp;\ufdd0name\ufdd1"
)
COMPONENTS = """
{% macro badge(label, tone="mute") -%}
  <b class="{{ tone }}">{{ label }}{{ count() }}</b>
{%- endmacro %}
{% set badge = badge|remembered %}
{% macro row(name, uuid, cell) -%}
  {% set address = address_of("thing", "uuid") -%}
  <a href="{{ address(uuid) }}" title="{{ name }}, 100%">{{ name }}</a>{{ cell }}
{%- endmacro %}
"""


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("drawing")
    app.jinja_environment = drawing.PagesEnvironment
    app.jinja_loader = DictLoader({"components.html": COMPONENTS})
    drawing.init_app(app)
    drawn: list[int] = []
    app.jinja_env.globals["count"] = lambda: drawn.append(1) or len(drawn)
    app.add_url_rule("/things/<uuid:uuid>", "thing", lambda: "")
    app.add_url_rule("/events/<event_id>", "event", lambda: "")
    with app.test_request_context():
        yield app


def component(app: Flask, name: str) -> drawing.Component:
    found: drawing.Component = getattr(app.jinja_env.get_template("components.html").module, name)
    return found


def test_a_remembered_component_is_drawn_once_for_the_same_values(app: Flask) -> None:
    badge = component(app, "badge")
    first = badge("Paid", tone="ok")
    assert badge("Paid", tone="ok") is first
    assert badge("Paid", tone="bad") == '<b class="bad">Paid2</b>'


def test_a_remembered_component_escapes_a_string_though_it_drew_it_as_markup(app: Flask) -> None:
    badge = component(app, "badge")
    assert badge(Markup("<i>x</i>")) == '<b class="mute"><i>x</i>1</b>'
    assert badge("<i>x</i>") == '<b class="mute">&lt;i&gt;x&lt;/i&gt;2</b>'
    assert badge(Markup("<i>x</i>")) == '<b class="mute"><i>x</i>1</b>'
    assert ESCAPED in badge(HOSTILE)


def test_a_remembered_component_tells_one_from_true(app: Flask) -> None:
    badge = component(app, "badge")
    assert badge(1) == '<b class="mute">11</b>'
    assert badge(True) == '<b class="mute">True2</b>'


def test_what_could_change_is_drawn_each_time(app: Flask) -> None:
    badge, value = component(app, "badge"), ["a"]
    assert "[&#39;a&#39;]1" in badge(value)
    value.append("b")
    assert "[&#39;a&#39;, &#39;b&#39;]2" in badge(value)


def test_only_so_many_are_kept(app: Flask) -> None:
    badge = component(app, "badge")
    first = badge("0")
    for number in range(2000):
        badge(str(number + 1))
    assert badge("0") != first


def test_components_are_kept_for_each_place_where_the_portal_is_mounted(app: Flask) -> None:
    badge = component(app, "badge")
    first = badge("Paid")
    with app.test_request_context(environ_overrides={"SCRIPT_NAME": "/below"}):
        assert badge("Paid") != first
    assert badge("Paid") == first


def test_a_pattern_escapes_every_value_wherever_it_stands(app: Flask) -> None:
    row = drawing.pattern(component(app, "row"))
    drawn = row(name=HOSTILE, uuid=HOSTILE, cell=Markup("<td>1</td>"))
    assert drawn == (f'<a href="/things/{ESCAPED}" title="{ESCAPED}, 100%">{ESCAPED}</a><td>1</td>')
    assert isinstance(drawn, Markup)


def test_a_pattern_draws_what_the_macro_itself_draws(app: Flask) -> None:
    component_of_rows, uuid = component(app, "row"), "3f1c9d2e-0000-4000-8000-000000000001"
    values = {"name": "Ada & <Co>", "uuid": uuid, "cell": "1 < 2"}
    assert drawing.pattern(component_of_rows)(**values) == component_of_rows(**values)


def test_a_pattern_wants_all_its_values(app: Flask) -> None:
    row = drawing.pattern(component(app, "row"), cell="always")
    assert row(name="a", uuid="b").endswith("always")
    with pytest.raises(KeyError):
        row(name="a")


class Row(NamedTuple):
    """A row of a list."""

    name: object
    uuid: str
    cell: object


def test_each_item_is_drawn_as_by_itself(app: Flask) -> None:
    row = drawing.pattern(component(app, "row"))
    items = [
        Row("Ada & <Co>", "1", "1 < 2"),
        Row(HOSTILE, HOSTILE, HOSTILE),
        Row("", "2", ""),
        Row(Markup("<i>x</i>"), "3", 7),
        Row("<i>x</i>", "4", None),
    ]
    alone = "".join(row(**each._asdict()) for each in items)
    assert row.each(items) == alone
    assert isinstance(row.each(items), Markup)
    assert row.each(items[:1]) == row(**items[0]._asdict())
    assert row.each([]) == ""


def test_what_is_told_of_a_column_is_escaped_too(app: Flask) -> None:
    row, asked = drawing.pattern(component(app, "row")), []

    def cell(value: object) -> object:
        asked.append(value)
        return Markup("<b>{}</b>").format(value)

    items = [Row("a", "1", "<x>"), Row("b", "2", "<x>"), Row("c", "3", Markup("<x>"))]
    drawn = row.each(items, cell=cell, name=("uuid", lambda uuid: f"<{uuid}>"))
    assert [str(value) for value in asked] == ["<x>", "<x>"]
    assert [type(value) for value in asked] == [str, Markup]
    assert drawn == "".join(
        row(name=f"<{item.uuid}>", uuid=item.uuid, cell=Markup("<b>{}</b>").format(item.cell))
        for item in items
    )


def test_an_item_without_what_the_macro_wants_is_an_error(app: Flask) -> None:
    row = drawing.pattern(component(app, "row"))
    with pytest.raises(AttributeError):
        row.each([object()])


@pytest.mark.parametrize("value", ["evt_1", "a/b?c#d", "..", "%41 é", HOSTILE, 7])
def test_an_address_of_a_row_is_the_one_that_url_for_writes(app: Flask, value: object) -> None:
    wanted = app.url_for("event", event_id=value)
    assert drawing.address_of("event", "event_id")(value) == wanted


def test_an_address_needs_a_part_of_the_path(app: Flask) -> None:
    with pytest.raises(TypeError):
        drawing.address_of("event", "page", event_id="evt_1")
