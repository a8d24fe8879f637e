"""WSO2's analytics in Elasticsearch: the events of ``apim_event_response``.

Counted by the server with one composite aggregation, page by page, so that neither the number of
APIs nor that of applications is cut off. Needs the extra ``elk``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from portal.analytics import strict
from portal.analytics.source import (
    AnalyticsSource,
    Found,
    NothingYet,
    Scope,
    SourceUnavailable,
)
from portal.services import outgoing

TIME, STATUS = "requestTimestamp", "targetResponseCode"
#: What makes calls alike -> the field that says it.
FIELDS = {
    "api": "apiId.keyword",
    "application": "applicationId.keyword",
    "method": "apiMethod.keyword",
    "resource": "apiResourceTemplate.keyword",
    "status": STATUS,
    "key_type": "keyType.keyword",
}
DOMAIN = "apiCreatorTenantDomain.keyword"
HOUR_MS = 3_600_000
PAGE = 1_000
SECONDS = 30.0
#: Of calls whose back end did not answer, as WSO2 writes them; never billable.
NO_ANSWER = 502
UNREADABLE = "gave an answer that cannot be read. Check that host and port are Elasticsearch's."
_TIMES = {"first": {"min": {"field": TIME}}, "last": {"max": {"field": TIME}}}


@dataclass(frozen=True, kw_only=True)
class ElasticsearchSettings:
    """Where Elasticsearch is; ``url`` is scheme, host and port."""

    url: str
    username: str
    password: str
    index: str
    allowlist: tuple[str, ...] = ()
    """Origins that may be on private addresses."""


class ElasticsearchSource(AnalyticsSource):
    """Reads with the official client, version 8, which talks to servers of 8 and 9."""

    name: ClassVar[str] = "elasticsearch"
    #: Collectors buffer, and hosts come back after days.
    look_back: ClassVar[timedelta] = timedelta(days=3)

    def __init__(self, settings: ElasticsearchSettings) -> None:
        self._settings = settings
        self._client = _client(settings)

    def check(self, scope: Scope) -> str:
        """Count the events of the scope."""
        answer = self._ask(scope, {})
        count = _whole(answer, "hits", "total", "value")
        return (
            f"{self._settings.index} answers: {count:,} events since "
            f"{scope.start:%Y-%m-%d %H:%M} UTC of the APIs that have subscribers."
        )

    def read(self, scope: Scope) -> Iterator[Found]:
        """Return the calls, one for each hour and kind."""
        after: Mapping[str, Any] | None = None
        while True:
            body = {"kinds": {"composite": _composite(after), "aggs": _TIMES}}
            page = _inner(self._ask(scope, body), "aggregations", "kinds")
            buckets = strict.rows(
                page.get("buckets"), "Elasticsearch's answer has no list of buckets."
            )
            for bucket in buckets:
                yield _found(bucket, scope)
            if not buckets or page.get("after_key") is None:
                return
            after = _inner(page, "after_key")

    def later(self, scope: Scope, found: Found, moment: int) -> Found | None:
        """Ask for the calls of this kind from a moment on."""
        alike = [_alike(name, getattr(found, name)) for name in FIELDS]
        end = min((found.hour + 1) * HOUR_MS, _millis(scope.end))
        answer = self._ask(scope, dict(_TIMES), [*alike, _between(moment, end)])
        calls = _whole(answer, "hits", "total", "value")
        if not calls:
            return None
        first, last = _times(_inner(answer, "aggregations"), moment, end)
        return replace(found, calls=calls, first=first, last=last)

    def _ask(self, scope: Scope, aggregations: dict[str, Any], more: Any = ()) -> dict[str, Any]:
        start, end = _millis(scope.start), _millis(scope.end)
        mine = [
            _between(start, end),
            {"terms": {FIELDS["api"]: list(scope.apis)}},
            {"term": {DOMAIN: scope.tenant_domain}},
        ]
        query = {"bool": {"filter": [*mine, *more]}}
        answer = _called(self._settings, lambda: self._client.search(
            index=self._settings.index,
            size=0,
            track_total_hits=True,
            query=query,
            aggregations=aggregations or None,
            allow_partial_search_results=False,
        ))  # fmt: skip
        _refuse_part(answer)
        return answer


def _client(settings: ElasticsearchSettings) -> Any:
    try:
        from elastic_transport import RequestsHttpNode
        from elasticsearch import Elasticsearch
    except ImportError:
        raise SourceUnavailable(
            "The Elasticsearch client is not installed. Ask the operator to install the portal "
            "with its extra elk."
        ) from None
    login = (settings.username, settings.password) if settings.username else None
    client = Elasticsearch(
        settings.url,
        basic_auth=login,
        request_timeout=SECONDS,
        max_retries=2,
        # Each try may last as long as an answer may; the next run asks again.
        retry_on_timeout=False,
        # Unlike the default one, this honours HTTPS_PROXY.
        node_class=RequestsHttpNode,
    )
    nodes: Any = client.transport.node_pool.all()
    for node in nodes:
        outgoing.guard(node.session, settings.allowlist, strict.BOUNDS)
    return client


def _called(settings: ElasticsearchSettings, call: Any) -> dict[str, Any]:
    """Make a call, and say in a sentence what is wrong with its answer."""
    import elasticsearch as es

    where = f"Elasticsearch at {settings.url}"
    try:
        return dict(call())
    except (es.AuthenticationException, es.AuthorizationException):
        words = f"{where} refuses analytics_username and analytics_password. Enter them again."
    except es.NotFoundError:
        raise NothingYet(
            f"{where} has no index {settings.index}. It is made with the first event; if there "
            "were calls already, correct the index."
        ) from None
    except es.UnsupportedProductError:
        words = f"{where} answers, but it is not Elasticsearch. Correct host and port."
    except es.ApiError as error:
        words = (
            f"{where} answered {error.status_code}: {strict.text(str(error.message), '')[:200]}."
        )
    except es.TransportError as error:
        words = f"{where} {_failure(error)}"
    except (TypeError, ValueError, RecursionError):
        words = f"{where} {UNREADABLE}"
    raise SourceUnavailable(words) from None


def _failure(error: Any) -> str:
    """Say what became of a question that nothing readable came back to."""
    import elasticsearch as es

    # The client names what went wrong with its tries before the last one.
    causes = [cause for each in error.errors for cause in getattr(each, "errors", ())]
    if isinstance(error, es.SerializationError):
        return UNREADABLE
    if any(isinstance(cause, outgoing.TooLarge) for cause in causes):
        return strict.LARGE
    if isinstance(error, es.ConnectionTimeout):
        return strict.SLOW
    return "does not answer. Check that it runs and can be reached from here."


def _refuse_part(answer: Mapping[str, Any]) -> None:
    """Take no answer that leaves something out: it would be billed as if it were all."""
    shards = _inner(answer, "_shards")
    if answer.get("timed_out") or shards.get("failed"):
        raise SourceUnavailable(
            "Elasticsearch answered for a part of its data only. Nothing is billed of it until it "
            "answers for all."
        )
    if not shards.get("total"):
        raise NothingYet("No index fits analytics_index yet. It is made with the first event.")


def _composite(after: Mapping[str, Any] | None) -> dict[str, Any]:
    kinds: list[Any] = [
        {name: {"terms": {"field": field, "missing_bucket": name != "api"}}}
        for name, field in FIELDS.items()
    ]
    kinds.append({"hour": {"date_histogram": {"field": TIME, "fixed_interval": "1h"}}})
    return {"size": PAGE, "sources": kinds} | ({"after": dict(after)} if after else {})


def _between(start: int, end: int) -> dict[str, Any]:
    return {"range": {TIME: {"gte": start, "lt": end, "format": "epoch_millis"}}}


def _alike(name: str, value: Any) -> dict[str, Any]:
    if name == "status" and value == NO_ANSWER:
        # Written as -1, or not at all.
        values = [{"terms": {STATUS: [-1, NO_ANSWER]}}, _missing(STATUS)]
        return {"bool": {"should": values, "minimum_should_match": 1}}
    return {"term": {FIELDS[name]: value}} if value else _missing(FIELDS[name])


def _missing(field: str) -> dict[str, Any]:
    return {"bool": {"must_not": {"exists": {"field": field}}}}


def _found(bucket: Mapping[str, Any], scope: Scope) -> Found:
    key = _inner(bucket, "key")
    hour = _whole(key, "hour") // HOUR_MS
    start = max(hour * HOUR_MS, _millis(scope.start))
    first, last = _times(bucket, start, min((hour + 1) * HOUR_MS, _millis(scope.end)))
    return Found(
        api=_text(key, "api"),
        application=_text(key, "application"),
        hour=hour,
        method=_text(key, "method")[:10],
        resource=_text(key, "resource"),
        status=_status(key.get("status")),
        key_type=_text(key, "key_type"),
        calls=_whole(bucket, "doc_count"),
        first=first,
        last=last,
    )


def _status(value: object) -> int:
    """Return a status of HTTP; WSO2 writes -1, or nothing, where the back end gave none."""
    if value is None or (isinstance(value, int) and value < 0):
        return NO_ANSWER
    status = strict.whole(value, f"Elasticsearch's answer has no number {STATUS}.")
    return status if 0 < status < 1_000 else NO_ANSWER


def _times(source: Mapping[str, Any], start: int, end: int) -> tuple[int, int]:
    """Return the first and the last call; one outside of what was asked would count twice."""
    first, last = _whole(source, "first", "value"), _whole(source, "last", "value")
    if not start <= first <= last < end:
        raise SourceUnavailable(
            "Elasticsearch's answer has calls of times that were not asked for."
        )
    return first, last


def _text(key: Mapping[str, Any], name: str) -> str:
    return strict.text(key.get(name), f"Elasticsearch's answer has no text {FIELDS[name]}.")


def _inner(source: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found: Any = source
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise SourceUnavailable(f"Elasticsearch's answer has no {'.'.join(path)}.")
    return found


def _whole(source: Mapping[str, Any], *path: str) -> int:
    value = _inner(source, *path[:-1]).get(path[-1]) if len(path) > 1 else source.get(path[-1])
    return strict.whole(value, f"Elasticsearch's answer has no number {'.'.join(path)}.")


def _millis(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000
