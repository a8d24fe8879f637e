"""A server that answers as Choreo Insights and its token endpoint do."""

import base64
import json
import re
from datetime import datetime
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

KEY, SECRET, ON_PREM = "consumer", "consumer secret", "on-prem key"


class FakeChoreo:
    """Knows how often applications called APIs, at which moments."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self.calls: list[tuple[str, str, datetime]] = []
        self.faults: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        server.expect_request("/token", method="POST").respond_with_handler(self.token)
        server.expect_request("/query", method="POST").respond_with_handler(self.query)

    def add(self, api: str, application: str, at: datetime, times: int = 1) -> None:
        self.calls += [(api, application, at)] * times

    def token(self, request: Request) -> Response:
        wanted = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        if request.headers.get("Authorization") != wanted:
            return _json({"error": "invalid_client"}, 401)
        assert request.form["grant_type"] == "client_credentials"
        self.tokens.append(f"token {len(self.tokens) + 1}")
        return _json(
            {"access_token": self.tokens[-1], "token_type": "Bearer", "expires_in": 3600}, 200
        )

    def query(self, request: Request) -> Response:
        fault = self.faults.pop(0) if self.faults else ""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if fault == "expired" or bearer not in (ON_PREM, *self.tokens[-1:]):
            return _json({"error_message": "Invalid Credentials"}, 401)
        if fault == "500":
            return _json({"error": "upstream"}, 500)
        if fault == "errors":
            return _json({"data": None, "errors": [{"message": "upstream timed out"}]}, 200)
        if fault == "half":
            return Response('{"data": {', 200, mimetype="application/json")
        body = json.loads(request.get_data())
        self.asked.append(body)
        return _json({"data": {self._name(body, bearer): self._rows(body["variables"])}}, 200)

    def _name(self, body: dict[str, Any], bearer: str) -> str:
        found = re.search(r"\{\s*(getSuccessAPIsUsageByApplications\w*)\(", body["query"])
        assert found
        with_key = bearer != ON_PREM
        assert found[1].endswith("WithOnPremKey") == with_key
        assert ("onPremKey" in body["variables"]) == with_key
        assert body["query"].count("{") == body["query"].count("}")
        return found[1]

    def _rows(self, variables: dict[str, Any]) -> list[dict[str, Any]]:
        start = datetime.fromisoformat(variables["timeFilter"]["from"])
        end = datetime.fromisoformat(variables["timeFilter"]["to"])
        wanted = variables["successAPIUsageByAppFilter"]
        assert wanted["tenantDomains"] == ["carbon.super"]
        sums: dict[tuple[str, str], int] = {}
        for api, application, at in self.calls:
            if api in wanted["apiIds"] and start <= at <= end:
                sums[api, application] = sums.get((api, application), 0) + 1
        return [
            {
                "apiId": api,
                "apiName": "Rates",
                "apiVersion": "1.0",
                "apiCreatorTenantDomain": "carbon.super",
                "applicationId": application,
                "applicationName": "App",
                "applicationOwner": "dana",
                "count": str(count),
            }
            for (api, application), count in sums.items()
        ]


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")
