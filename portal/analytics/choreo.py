"""Choreo Insights, by its GraphQL interface: how often applications called APIs with success.

It tells a number for an API and an application in a span of time, and nothing else: no resource,
status or kind of key. What it counts as success is billed as calls with a production key.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import requests

from portal import clock
from portal.analytics import strict
from portal.analytics.source import AnalyticsSource, Found, Scope, SourceUnavailable
from portal.models import KeyType
from portal.services import outgoing

TIMEOUT = (5.0, 30.0)
HOUR = timedelta(hours=1)
MILLISECOND = timedelta(milliseconds=1)
RESOURCE = "/*"
SUCCESS = 200
_WITH_KEY = "getSuccessAPIsUsageByApplicationsWithOnPremKey"
_WITHOUT = "getSuccessAPIsUsageByApplications"
_FIELDS = (
    "apiId apiName apiVersion apiCreatorTenantDomain applicationId applicationName "
    "applicationOwner count"
)


@dataclass(frozen=True, kw_only=True)
class ChoreoSettings:
    """Where Choreo is. Without a consumer key the on-premise key is the bearer itself."""

    query_endpoint: str
    on_prem_key: str
    token_endpoint: str
    consumer_key: str
    consumer_secret: str
    allowlist: tuple[str, ...] = ()
    """Origins that may be on private addresses."""


class ChoreoSource(AnalyticsSource):
    """Asks for each hour by itself, because a number has no other time than its question."""

    name: ClassVar[str] = "choreo"
    #: "About an hour" by the makers' own words; a day is asked again.
    look_back: ClassVar[timedelta] = timedelta(days=1)

    def __init__(self, settings: ChoreoSettings) -> None:
        self._settings = settings
        self._token = ""

    def check(self, scope: Scope) -> str:
        """Ask for the last hour."""
        last = replace(scope, start=max(scope.start, scope.end - HOUR))
        calls = sum(found.calls for found in self.read(last))
        return f"Choreo answers: {calls:,} calls of subscribed APIs in the last hour."

    def read(self, scope: Scope) -> Iterator[Found]:
        """Return the calls, one for each hour, API and application."""
        start = scope.start
        while start < scope.end:
            end = min(_hour(start) + HOUR, scope.end)
            yield from self._ask(scope, start, end)
            start = end

    def later(self, scope: Scope, found: Found, moment: int) -> Found | None:
        """Ask for the calls from a moment to the end of the hour."""
        start = clock.from_epoch(moment // 1000) + moment % 1000 * MILLISECOND
        end = min(_hour(start) + HOUR, scope.end)
        narrow = replace(scope, apis=[found.api])
        same = [
            each for each in self._ask(narrow, start, end) if each.application == found.application
        ]
        return same[0] if same else None

    def _ask(self, scope: Scope, start: datetime, end: datetime) -> Iterator[Found]:
        own = self._settings.consumer_key
        variables: dict[str, Any] = {
            # Both ends belong to Choreo's span: the last millisecond is the one before the end.
            "timeFilter": {"from": _written(start), "to": _written(end - MILLISECOND)},
            "successAPIUsageByAppFilter": {
                "apiIds": list(scope.apis),
                "tenantDomains": [scope.tenant_domain],
            },
        }
        if own:
            variables["onPremKey"] = self._settings.on_prem_key
        name = _WITH_KEY if own else _WITHOUT
        rows = self._query(_query(name, with_key=bool(own)), variables, name)
        sums: dict[tuple[str, str], int] = {}
        for row in rows:
            pair = (_text(row, "apiId"), _text(row, "applicationId"))
            sums[pair] = sums.get(pair, 0) + _count(row)
        for (api, application), calls in sums.items():
            if calls:
                yield _found(api, application, calls, start, end)

    def _query(self, query: str, variables: Any, name: str) -> list[Mapping[str, Any]]:
        body = {"query": query, "variables": variables}
        answer = self._post(body)
        if answer.status_code == 401 and self._settings.consumer_key:
            self._token = ""
            answer = self._post(body)
        told = _json(answer, "Choreo")
        if told.get("errors"):
            raise SourceUnavailable(f"Choreo refuses the question: {str(told['errors'])[:200]}.")
        data = told.get("data")
        rows = data.get(name) if isinstance(data, Mapping) else None
        return strict.rows(rows, "Choreo's answer has no list of usage.")

    def _post(self, body: Any) -> requests.Response:
        bearer = self._bearer()
        return self._sent(
            self._settings.query_endpoint,
            json=body,
            headers={"Authorization": f"Bearer {bearer}"},
        )

    def _sent(self, url: str, **how: Any) -> requests.Response:
        try:
            with requests.Session() as session:
                outgoing.guard(session, self._settings.allowlist, strict.BOUNDS)
                return session.post(url, timeout=TIMEOUT, allow_redirects=False, **how)
        except requests.ReadTimeout:
            raise SourceUnavailable(f"{url} {strict.SLOW}") from None
        except outgoing.TooLarge:
            raise SourceUnavailable(f"{url} {strict.LARGE}") from None
        except (requests.RequestException, outgoing.ForbiddenAddress):
            raise SourceUnavailable(
                f"{url} does not answer. Check that it can be reached from here."
            ) from None

    def _bearer(self) -> str:
        if not self._settings.consumer_key:
            return self._settings.on_prem_key
        if not self._token:
            answer = self._sent(
                self._settings.token_endpoint,
                data={"grant_type": "client_credentials"},
                auth=(self._settings.consumer_key, self._settings.consumer_secret),
            )
            token = _json(answer, "Choreo's token endpoint").get("access_token")
            if not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
                raise SourceUnavailable("Choreo's token endpoint gave no access_token.")
            self._token = token
        return self._token


def _query(name: str, *, with_key: bool) -> str:
    declared = "$onPremKey: String!, " if with_key else ""
    passed = "onPremKey:$onPremKey, " if with_key else ""
    return (
        f"query({declared}$timeFilter: TimeFilter!, "
        "$successAPIUsageByAppFilter: SuccessAPIUsageByAppFilter!) "
        f"{{{name}({passed}timeFilter: $timeFilter, "
        f"successAPIUsageByAppFilter: $successAPIUsageByAppFilter) {{ {_FIELDS} }}}}"
    )


def _json(answer: requests.Response, who: str) -> Mapping[str, Any]:
    if answer.status_code in (401, 403):
        raise SourceUnavailable(f"{who} refuses the access token or consumer key. Enter it again.")
    if answer.status_code != 200:
        raise SourceUnavailable(f"{who} answered {answer.status_code}.")
    try:
        told = answer.json()
    except (ValueError, RecursionError):
        # Also numbers without an end, and brackets within brackets.
        told = None
    if not isinstance(told, Mapping):
        raise SourceUnavailable(f"{who} gave an answer that is not JSON.")
    return told


def _text(row: Mapping[str, Any], name: str) -> str:
    return strict.text(row.get(name), f"Choreo's answer has no text {name}.")


def _count(row: Mapping[str, Any]) -> int:
    return strict.written(
        row.get("count"), "Choreo's answer has a count that is no number of calls."
    )


def _found(api: str, application: str, calls: int, start: datetime, end: datetime) -> Found:
    first = clock.epoch(start) * 1000 + start.microsecond // 1000
    last = clock.epoch(end) * 1000 + end.microsecond // 1000 - 1
    return Found(
        api=api,
        application=application,
        hour=clock.epoch(start) // 3600,
        method="ANY",
        resource=RESOURCE,
        status=SUCCESS,
        key_type=KeyType.PRODUCTION,
        calls=calls,
        first=first,
        last=last,
    )


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+00:00"
