"""A server that speaks as much of Elasticsearch 8 as the portal uses, over HTTP.

It keeps documents as the collector would write them and reckons answers from them; their shape is
that of a recorded answer of 8.x. What it does not know it refuses as the real one does.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from uuid import uuid4

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

HOUR = 3_600_000
HEADERS = {"X-Elastic-Product": "Elasticsearch"}
JSON = "application/vnd.elasticsearch+json;compatible-with=8"
LOGIN = ("portal", "open sesame")


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


class FakeElasticsearch:
    """One index of ``apim_event_response`` documents, and faults that answer instead of it."""

    def __init__(self, server: HTTPServer, index: str = "apim_event_response") -> None:
        self.server = server
        self.index: str | None = index
        self.documents: list[dict[str, Any]] = []
        self.faults: list[str] = []
        """What happens to the next requests, one each; an empty word is no fault."""
        self.asked: list[dict[str, Any]] = []
        server.expect_request(f"/{index}/_search", method="POST").respond_with_handler(self.search)

    @property
    def host(self) -> str:
        return "http://127.0.0.1"

    @property
    def port(self) -> str:
        return str(self.server.port)

    def add(self, api: str, application: str, at: datetime, times: int = 1, **more: Any) -> None:
        """Write documents down as the gateway's analytics do."""
        document = {
            "apiId": api,
            "applicationId": application,
            "apiCreatorTenantDomain": "carbon.super",
            "apiMethod": "GET",
            "apiResourceTemplate": "/rates",
            "keyType": "PRODUCTION",
            "targetResponseCode": 200,
            "proxyResponseCode": 200,
            "eventType": "response",
            "requestTimestamp": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z",
            **more,
        }
        kept = {name: value for name, value in document.items() if value is not None}
        self.documents += [kept | {"correlationId": uuid4().hex} for _ in range(times)]

    # --- the server -----------------------------------------------------------------------

    def search(self, request: Request) -> Response:
        fault = self.faults.pop(0) if self.faults else ""
        wanted = "Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()
        if fault == "stranger":
            return Response(json.dumps({"hits": []}), 200, mimetype="application/json")
        if fault in _ERRORS:
            return self._error(*_ERRORS[fault])
        if request.headers.get("Authorization") != wanted:
            return self._error(401, "security_exception", "unable to authenticate user")
        if self.index is None or fault == "gone":
            return self._error(404, "index_not_found_exception", "no such index")
        body = json.loads(request.get_data())
        self.asked.append(body)
        if fault == "cut off":
            return _answer({"took": 3, "timed_out": False}, 200)
        answer = self._reckon(body)
        if fault == "timed out":
            answer["timed_out"] = True
        if fault == "a shard is missing":
            answer["_shards"] |= {"successful": 1, "failed": 1}
        return _answer(answer, 200)

    def _error(self, status: int, kind: str, reason: str) -> Response:
        cause = {"type": kind, "reason": reason}
        body = {"error": {"root_cause": [cause], **cause}, "status": status}
        return _answer(body, status)

    def _reckon(self, body: dict[str, Any]) -> dict[str, Any]:
        assert body["size"] == 0
        matches = _filter(body["query"])
        found = [each for each in self.documents if matches(each)]
        aggregations = {
            name: _aggregate(what, found)
            for name, what in (body.get("aggregations") or body.get("aggs") or {}).items()
        }
        answer: dict[str, Any] = {
            "took": 3,
            "timed_out": False,
            "_shards": {"total": 2, "successful": 2, "skipped": 0, "failed": 0},
            "hits": {
                "total": {"value": len(found), "relation": "eq"},
                "max_score": None,
                "hits": [],
            },
        }
        return answer | ({"aggregations": aggregations} if aggregations else {})


_ERRORS = {
    "500": (500, "search_phase_execution_exception", "all shards failed"),
    "503": (503, "circuit_breaking_exception", "data too large"),
    "403": (403, "security_exception", "action [indices:data/read/search] is unauthorized"),
}


def _answer(body: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(body), status, headers=HEADERS, content_type=JSON)


Predicate = Callable[[dict[str, Any]], bool]


def _value(document: dict[str, Any], field: str) -> Any:
    name = field.removesuffix(".keyword")
    if name == "requestTimestamp":
        return millis(datetime.fromisoformat(document[name]))
    value = document.get(name)
    # A keyword field exists for text only, and text has no doc values without it.
    assert value is None or isinstance(value, str) == field.endswith(".keyword"), field
    return value


def _filter(query: dict[str, Any]) -> Predicate:
    ((kind, body),) = query.items()
    if kind == "bool":
        return _bool(dict(body))
    if kind == "exists":
        return lambda document: _value(document, body["field"]) is not None
    ((field, wanted),) = body.items()
    if kind == "range":
        assert wanted["format"] == "epoch_millis"
        assert set(wanted) == {"gte", "lt", "format"}
        return lambda document: wanted["gte"] <= _value(document, field) < wanted["lt"]
    values = wanted if kind == "terms" else [wanted]
    assert kind in ("term", "terms")
    return lambda document: _value(document, field) in values


def _bool(body: dict[str, Any]) -> Predicate:
    every = [_filter(each) for each in body.pop("filter", [])]
    some = [_filter(each) for each in body.pop("should", [])]
    none = body.pop("must_not", None)
    never = [_filter(none)] if none else []
    assert body.pop("minimum_should_match", 1) == 1
    assert not body, body
    return lambda document: (
        all(check(document) for check in every)
        and (not some or any(check(document) for check in some))
        and not any(check(document) for check in never)
    )


def _aggregate(what: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    inner = what.get("aggs") or what.get("aggregations") or {}
    if "composite" in what:
        return _composite(what["composite"], inner, found)
    ((kind, body),) = what.items()
    values = [_value(each, body["field"]) for each in found]
    pick = {"min": min, "max": max}[kind]
    return {"value": float(pick(values)) if values else None}


def _composite(
    body: dict[str, Any], inner: dict[str, Any], found: list[dict[str, Any]]
) -> dict[str, Any]:
    def key(document: dict[str, Any]) -> dict[str, Any] | None:
        result = {}
        for source in body["sources"]:
            ((name, how),) = source.items()
            ((kind, options),) = how.items()
            value = _value(document, options["field"])
            if kind == "date_histogram":
                assert options["fixed_interval"] == "1h"
                value = value // HOUR * HOUR
            elif value is None and not options.get("missing_bucket"):
                return None
            result[name] = value
        return result

    def order(one: dict[str, Any]) -> list[tuple[bool, Any]]:
        return [(value is not None, value if value is not None else 0) for value in one.values()]

    keyed = [(one, each) for each in found if (one := key(each)) is not None]
    keyed.sort(key=lambda pair: order(pair[0]))
    groups = [
        (one, [each for _, each in pairs])
        for one, pairs in ((one, list(pairs)) for one, pairs in groupby(keyed, lambda it: it[0]))
    ]
    after = body.get("after")
    if after is not None:
        groups = [group for group in groups if order(group[0]) > order(after)]
    page = groups[: body["size"]]
    result: dict[str, Any] = {
        "buckets": [
            {
                "key": one,
                "doc_count": len(alike),
                **{name: _aggregate(what, alike) for name, what in inner.items()},
            }
            for one, alike in page
        ]
    }
    return result | ({"after_key": page[-1][0]} if page else {})
