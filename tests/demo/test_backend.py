"""The demo's back end answers from CLDR, says so in its documents, and refuses in sentences."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from portal.cli.demo_backend import APIS, create_backend, documents
from portal.cli.demo_backend.operations import Api, Operation

ORIGIN = "http://127.0.0.1:8149"
EVERY_OPERATION = [
    pytest.param(api, operation, id=operation.operation_id)
    for api in APIS
    for operation in api.operations
]


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    with create_backend(ORIGIN).test_client() as client:
        yield client


def example_of(api: Api, operation: Operation) -> tuple[str, dict[str, str]]:
    query = {
        name: value
        for name, value in operation.example.items()
        if f"{{{name}}}" not in operation.path
    }
    return f"/{api.name}{operation.path.format(**operation.example)}", query


def schema_of(written: dict[str, Any], path: str, status: str) -> dict[str, Any]:
    response = written["paths"][path]["get"]["responses"][status]
    if "$ref" in response:
        response = written["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    schema: dict[str, Any] = response["content"]["application/json"]["schema"]
    return {**schema, "components": written["components"]}


@pytest.mark.parametrize("path", ["/openapi.json", *(f"/{api.name}/openapi.json" for api in APIS)])
def test_every_document_is_valid_openapi(client: FlaskClient, path: str) -> None:
    written = client.get(path).json
    assert written is not None
    errors = [error.message for error in OpenAPIV31SpecValidator(written).iter_errors()]
    assert errors == []
    assert written["info"]["version"].count(".") == 2


def test_the_documents_name_the_server_that_answers(client: FlaskClient) -> None:
    for name, written in documents(ORIGIN).items():
        server = written["servers"][0]["url"]
        assert server == f"{ORIGIN}/{name}"
        path = next(path for path in written["paths"] if "{" not in path)
        assert client.get(server.removeprefix(ORIGIN) + path).status_code in {200, 400}


def test_operation_ids_are_unique_in_the_whole_document(client: FlaskClient) -> None:
    written = client.get("/openapi.json").json
    assert written is not None
    ids = [item["get"]["operationId"] for item in written["paths"].values()]
    assert len(ids) == len(set(ids)) == sum(len(api.operations) for api in APIS)


@pytest.mark.parametrize(("api", "operation"), EVERY_OPERATION)
def test_the_example_of_an_operation_is_what_it_answers(
    client: FlaskClient, api: Api, operation: Operation
) -> None:
    path, query = example_of(api, operation)
    answer = client.get(path, query_string=query)
    assert answer.status_code == 200, answer.text
    written = documents(ORIGIN)[api.name]
    content = written["paths"][operation.path]["get"]["responses"]["200"]["content"]
    if operation.shows_example_answer:
        assert content["application/json"]["example"] == answer.json
    Draft202012Validator(schema_of(written, operation.path, "200")).validate(answer.json)


@pytest.mark.parametrize(("api", "operation"), EVERY_OPERATION)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_get_is_understood(
    client: FlaskClient, api: Api, operation: Operation, method: str
) -> None:
    path, _ = example_of(api, operation)
    answer = client.open(path, method=method)
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.json is not None
    assert answer.json["error"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "status", "error", "parameter"),
    [
        ("/currency/currencies/XQZ", 404, "unknown_currency", "code"),
        ("/currency/currencies/EURO", 404, "not_found", "code"),
        ("/currency/territories/ZY", 404, "unknown_territory", "code"),
        ("/currency/locales/xx-YY", 404, "unknown_locale", "locale"),
        ("/currency/currencies/EUR?locale=und", 400, "unknown_locale", "locale"),
        ("/currency/currencies/EUR?locale=../../etc", 400, "invalid_parameter", "locale"),
        ("/currency/currencies/EUR?locale=de&locale=fr", 400, "repeated_parameter", "locale"),
        ("/currency/currencies/EUR?code=USD", 400, "repeated_parameter", "code"),
        ("/currency/currencies?territory=ZY", 400, "unknown_territory", "territory"),
        ("/currency/currencies?colour=blue", 400, "unknown_parameter", "colour"),
        ("/numbers/format", 400, "missing_parameter", "value"),
        ("/numbers/format?value=NaN", 400, "invalid_parameter", "value"),
        ("/numbers/format?value=1e400", 400, "invalid_parameter", "value"),
        ("/numbers/format?value=1&currency=QQQ", 400, "unknown_currency", "currency"),
        (
            "/numbers/format?value=1&currency=EUR&style=percent",
            400,
            "style_of_amount",
            "style",
        ),
        ("/numbers/parse?text=1,2,3.4&locale=en", 400, "not_a_number", "text"),
        ("/calendar/dates/format?date=2026-02-30", 400, "invalid_parameter", "date"),
        (
            "/calendar/dates/interval?start=2026-02-02&end=2026-02-01",
            400,
            "end_before_start",
            "end",
        ),
        ("/calendar/dates/relative?days=99999999999", 400, "invalid_parameter", "days"),
        ("/nowhere", 404, "not_found", ""),
    ],
)
def test_a_wrong_request_is_refused_with_its_reason(
    client: FlaskClient, path: str, status: int, error: str, parameter: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.json is not None
    assert (answer.json["error"], answer.json["parameter"]) == (error, parameter)
    assert answer.json["message"].endswith(".")
    written = documents(ORIGIN)["currency"]
    schema = schema_of(written, "/currencies/{code}", "404")
    Draft202012Validator(schema).validate(answer.json)


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("/currency/currencies/jpy?locale=de", "name", "Japanischer Yen"),
        ("/currency/currencies/JPY", "minor_units", 0),
        ("/currency/territories/CH?locale=fr", "name", "Suisse"),
        ("/currency/locales/ar", "direction", "rtl"),
        ("/currency/locales/pt_BR", "locale", "pt-BR"),
        ("/numbers/format?value=1234.5&locale=de&currency=eur", "text", "1.234,50\xa0€"),
        ("/numbers/format?value=0.256&style=percent&locale=en", "text", "26%"),
        ("/numbers/format?value=1234567&style=compact", "text", "1.2M"),
        ("/numbers/format?value=-0.5&locale=en", "text", "-0.5"),
        ("/numbers/parse?text=1.234,5&locale=de", "value", "1234.5"),
        ("/numbers/plural?value=3&locale=pl", "category", "few"),
        ("/numbers/plural?value=1&locale=ja", "categories", ["other"]),
        (
            "/calendar/dates/format?date=2026-11-22&locale=de&format=full",
            "text",
            "Sonntag, 22. November 2026",
        ),
        ("/calendar/dates/interval?start=2026-11-22&end=2026-11-25", "days", 4),
        ("/calendar/dates/relative?days=-3&locale=de", "text", "vor 3 Tagen"),
    ],
)
def test_answers_are_those_of_cldr(
    client: FlaskClient, path: str, key: str, expected: object
) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert answer.json[key] == expected


def test_the_week_begins_where_the_locale_begins_it(client: FlaskClient) -> None:
    american = client.get("/calendar/weekdays?locale=en-US").json
    german = client.get("/calendar/weekdays?locale=de").json
    assert american is not None
    assert german is not None
    assert [day["name"] for day in american["weekdays"] if day["weekend"]] == ["Sunday", "Saturday"]
    assert german["weekdays"][0] == {"number": 1, "name": "Montag", "weekend": False}


def test_lists_have_all_they_count(client: FlaskClient) -> None:
    currencies = client.get("/currency/currencies").json
    locales = client.get("/currency/locales").json
    assert currencies is not None
    assert locales is not None
    assert currencies["count"] == len(currencies["currencies"]) > 140
    assert locales["count"] == len(set(locales["locales"])) > 700


def test_every_locale_that_is_listed_can_be_asked_for(client: FlaskClient) -> None:
    listed = client.get("/currency/locales").json
    assert listed is not None
    refused = [
        tag
        for tag in listed["locales"]
        if client.get(f"/currency/locales/{tag}").status_code != 200
        or client.get("/calendar/weekdays", query_string={"locale": tag}).status_code != 200
    ]
    assert refused == []
