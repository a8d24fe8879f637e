"""What an API can do is read from documents of every quality."""

import json

import pytest

from portal.cli.demo_backend import documents
from portal.services import operations


def of(paths: object, **more: object) -> list[operations.Operation]:
    return operations.of(json.dumps({"paths": paths, **more}))


def get(*parameters: object) -> dict[str, object]:
    return {"get": {"summary": "S", "parameters": list(parameters)}}


@pytest.mark.parametrize(
    ("parameter", "example"),
    [
        ({"name": "id", "in": "path", "example": "a/b c"}, "/x/a%2Fb%20c"),
        ({"name": "id", "in": "path", "schema": {"enum": ["EUR", "USD"]}}, "/x/EUR"),
        ({"name": "id", "in": "path", "schema": {"default": 7}}, "/x/7"),
        ({"name": "id", "in": "path", "examples": {"one": {"value": "uno"}}}, "/x/uno"),
        ({"name": "id", "in": "path"}, "/x/id"),
        ({"name": "q", "in": "query", "example": "a&b"}, "/x/id"),
        ({"name": "q", "in": "query", "required": True, "example": "a&b"}, "/x/id?q=a%26b"),
        ({"name": "q", "in": "query", "required": True, "example": True}, "/x/id?q=true"),
    ],
)
def test_an_example_can_be_called_as_it_stands(parameter, example):
    [operation] = of({"/x/{id}": get(parameter)})
    assert operation.example == example


def test_parameters_of_the_path_count_too_and_the_operations_own_win():
    paths = {
        "/x/{id}": {
            "parameters": [{"name": "id", "in": "path", "example": "outer"}],
            "get": {"parameters": [{"name": "id", "in": "path", "example": "inner"}]},
            "delete": {"summary": "Remove"},
        }
    }
    assert [(item.method, item.example) for item in of(paths)] == [
        ("GET", "/x/inner"),
        ("DELETE", "/x/outer"),
    ]


def test_the_first_call_only_reads_and_needs_as_little_as_possible():
    found = of({"/a": {"post": {"summary": "Make"}}, "/b/{id}": get(), "/c": get()})
    assert operations.example(found).path == "/c"
    assert operations.example(of({"/a": {"post": {"summary": "Make"}}})) is None


@pytest.mark.parametrize(
    "definition",
    [
        None, "", "{", "[]", "3", '{"paths": 3}', '{"paths": {"/x": 3}}',
        '{"paths": {"/x": {"get": []}}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_cannot_be_read_has_no_operations(definition):
    assert operations.of(definition) == []


def test_a_huge_document_is_cut_for_the_page():
    assert len(of({f"/{number}": get() for number in range(900)})) == operations.MOST


def test_the_demos_documents_give_calls_without_gaps():
    for document in documents("http://127.0.0.1:9").values():
        found = operations.of(json.dumps(document))
        assert found
        assert all("{" not in item.example for item in found)


def test_no_server_of_the_back_end_is_handed_out_at_any_level():
    document = {
        "openapi": "3.0.3",
        "servers": [{"url": "http://inside.example/"}],
        "paths": {
            "/a": {
                "servers": [{"url": "http://inside.example/a"}],
                "get": {"servers": [{"url": "http://inside.example/b"}], "responses": {}},
            }
        },
        "components": {
            "schemas": {"A": {"properties": {"servers": {"type": "array"}}}},
            "links": {"L": {"operationId": "x", "server": {"url": "http://inside.example/c"}}},
        },
    }

    handed_out = operations.without_servers(document)

    assert "inside.example" not in str(handed_out)
    assert handed_out["components"]["schemas"]["A"]["properties"]["servers"] == {"type": "array"}
