"""Reading an OpenAPI document that nobody vouches for."""

import json
import socket
import time

import pytest

from portal.errors import Invalid
from portal.services import openapi_import
from portal.services.openapi_import import read

RESPONSES = {"200": {"description": "As asked."}}


def document(**changes):
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weather", "version": "1.10", "description": "Rain *or* shine."},
        "servers": [{"url": "https://api.example.com/v1/"}],
        "paths": {"/now": {"get": {"responses": RESPONSES}}},
        **changes,
    }


def packed(**changes):
    return json.dumps(document(**changes)).encode()


def with_schema(schema, **components):
    content = {"application/json": {"schema": schema}}
    answers = {"200": {"description": "x", "content": content}}
    return packed(
        paths={"/now": {"get": {"responses": answers}}}, components={"schemas": components}
    )


def refusal(content):
    with pytest.raises(Invalid) as refused:
        read(content)
    return refused.value.message


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args):
        raise AssertionError("The import opened a connection.")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_title_version_description_and_server_are_taken():
    api = read(packed())
    assert (api.title, api.version) == ("Weather", "1.10")
    assert api.description == "Rain *or* shine."
    assert api.endpoint_url == "https://api.example.com/v1"
    assert json.loads(api.definition) == document()


def test_yaml_is_read_as_openapi_means_it():
    text = b"""
openapi: 3.0.3
info:
  title: Norway
  version: 1.10
  description: since 2024-01-01
servers:
  - url: https://{place}.example.com/{base}
    variables:
      place: {default: eu}
      base: {default: v2, enum: [no, v2]}
paths:
  /now:
    get:
      responses:
        200: {description: ok}
"""
    api = read(text)
    assert api.version == "1.10"
    assert api.endpoint_url == "https://eu.example.com/v2"
    kept = json.loads(api.definition)
    assert kept["paths"]["/now"]["get"]["responses"] == {"200": {"description": "ok"}}
    assert kept["servers"][0]["variables"]["base"]["enum"] == ["no", "v2"]


def test_a_relative_server_names_no_back_end():
    assert read(packed(servers=[{"url": "/v1"}])).endpoint_url == ""
    assert read(packed(servers=[])).endpoint_url == ""


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/hostname",
        "http://127.0.0.1:8000/secret",
        "https://example.com/schema.json#/A",
        "other.yaml#/components/schemas/A",
        "/etc/passwd",
        "#anchor",
    ],
)
@pytest.mark.parametrize("key", ["$ref", "$dynamicRef"])
def test_a_reference_out_of_the_document_is_refused_and_not_followed(no_network, key, target):
    sentence = refusal(with_schema({"properties": {"a": {key: target}}}))
    assert "begin with #/" in sentence


def test_a_schema_with_its_own_address_is_refused(no_network):
    assert "$id" in refusal(with_schema({"$id": "http://127.0.0.1/x", "$ref": "#/defs/x"}))


def test_an_unknown_dialect_is_not_fetched(no_network):
    elsewhere = {"$schema": "http://127.0.0.1:1/dialect", "type": "string"}
    assert "dialect" in refusal(with_schema(elsewhere))


def test_references_inside_the_document_are_fine_also_when_a_schema_holds_itself():
    tree = {"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Tree"}}}
    assert read(with_schema({"$ref": "#/components/schemas/Tree"}, Tree=tree)).title == "Weather"


def test_a_property_may_be_called_like_a_reference():
    schema = {"type": "object", "properties": {"$ref": {"type": "string"}}}
    assert read(with_schema(schema)).title == "Weather"


@pytest.mark.parametrize(
    ("schema", "components", "words"),
    [
        ({"$ref": "#/components/schemas/Gone"}, {}, "leads nowhere: /components/schemas/Gone"),
        ({"$ref": "#/components/schemas/A"}, {"A": {"$ref": "#/components/schemas/A"}}, "circle"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(schema, components, words):
    assert words in refusal(with_schema(schema, **components))


def test_yaml_aliases_are_refused_before_they_multiply():
    bomb = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    assert "aliases" in refusal(bomb)


def test_yaml_makes_no_objects():
    assert "neither" in refusal(b"openapi: !!python/object/apply:os.system ['true']\n")


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_a_document_without_end_is_refused(brackets):
    opened = '{"a":' if brackets == "{}" else "["
    assert "levels" in refusal(opened.encode() * 50_000)
    deep = opened * 100 + "1" + ("}" if brackets == "{}" else "]") * 100
    assert "levels" in refusal(('{"openapi": "3.1.0", "x": ' + deep + "}").encode())
    assert "levels" in refusal(b"openapi: 3.1.0\nx: " + b"[" * 5000)


def test_a_large_document_is_refused():
    assert "1 MB" in refusal(b" " * (openapi_import.LARGEST + 1))
    assert "parts" in refusal(packed(**{"x-many": [[] for _ in range(30_000)]}))


def test_a_pattern_that_takes_hours_is_not_tried():
    begun = time.monotonic()
    schema = {"type": "string", "pattern": "(a+)+$", "default": "a" * 40 + "!"}
    keys = {"patternProperties": {"(a+)+$": {}}, "default": {"a" * 40 + "!": 1}}
    assert read(with_schema({"properties": {"a": schema, "b": keys}})).title == "Weather"
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "paste the document"),
        (b"  \n", "paste the document"),
        (b"\xff\xfe", "UTF-8"),
        (b"[1, 2]", "must be an object"),
        (b"just words", "must be an object"),
        (b'{"openapi": "3.1.0",}', "line 1"),
        (b'{"a": NaN}', "number"),
        (b"a: [1\nb: 2", "line"),
        (b'{"swagger": "2.0"}', "OpenAPI 3"),
        (packed(openapi="2.0"), "OpenAPI 3"),
        (packed(openapi=3.1), "OpenAPI 3"),
        (packed(info={"title": "x"}), "info"),
        (packed(paths={"no-slash": {}}), "paths"),
        (b"<html></html>", "must be an object"),
    ],
)
def test_what_is_no_openapi_document_is_refused_with_a_sentence(content, words):
    assert words in refusal(content)


def test_a_refusal_never_repeats_more_than_a_line_of_the_document():
    assert len(refusal(with_schema({"$ref": "http://x/" + "a" * 5000}))) < 300
    assert len(refusal(packed(info={"title": "x" * 5000, "version": []}))) < 600
