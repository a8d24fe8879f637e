"""Software that nobody here wrote sends what the document allows, and what it forbids.

All checks are on, in all phases, with links. What it may answer beyond their defaults stands in
``CHECKS``, with the reason.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Role -> which operations it is tried on. An administrator may do everything.
PATHS = {"admin": "/api/am/", "publisher": "/api/am/publisher/", "subscriber": "/api/am/devportal/"}
#: The large setting: REST_EXAMPLES=100.
EXAMPLES = int(os.environ.get("REST_EXAMPLES", "1"))
STORIES = 6 * EXAMPLES
STEPS = 8

CHECKS = """
[checks.positive_data_acceptance]
# 412: a tag that was made up is not the present one. 422: its key was used with another body.
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 412, 422, 429, 502, 503]

[checks.missing_required_header]
# RFC 6585 has a status for a missing If-Match.
expected-statuses = [400, 401, 403, 406, 415, 422, 428]

# Here the services have rules that JSON Schema cannot say: decimals by currency, roles and plans
# that exist, addresses that may be called, documents, an API's state. A subscription keeps its
# application and API, and WSO2 wants its status, in words of its own.
[[operations]]
include-operation-id = [
  "createPolicy", "updatePolicy", "createApi", "updateApi", "importOpenApi",
  "generateConsumerKey",
  "updateTenantConfig", "monetize", "getRevenue", "subscribe", "updateSubscription",
]
checks.positive_data_acceptance.expected-statuses = [
  "2xx", "3xx", 400, 401, 403, 404, 409, 412, 422, 429, 502, 503,
]
"""
#: Where a value that exists is tried, and which.
NAMED = {
    "path.apiId": "api",
    "query.apiId": "api",
    "body.apiId": "api",
    "path.applicationId": "application",
    "query.applicationId": "application",
    "body.applicationId": "application",
    "path.subscriptionId": "subscription",
    "query.subscriptionId": "subscription",
    "path.policyId": "policy",
    "body.throttlingPolicy": "plan",
    "header.If-Match": "match",
    "body.endpointConfig.production_endpoints.url": "address",
    "body.properties.ConnectedAccountKey": "account",
}


def configuration(known: dict[str, list[str]]) -> str:
    values = known | {
        "match": ["*"],
        "address": ["http://127.0.0.1:9/"],
        "account": ["acct_publisher1"],
    }
    lines = [
        f"generation.max-examples = {EXAMPLES}",
        f"phases.stateful.max-steps = {STEPS}",
        f"phases.stateful.generation.max-examples = {STORIES}",
    ]
    lines += [f"dictionaries.{name}.values = {json.dumps(kept)}" for name, kept in values.items()]
    lines += [
        f'parameters."{place}" = {{ dictionary = "{name}", probability = 0.6 }}'
        for place, name in NAMED.items()
    ]
    return "\n".join(lines) + CHECKS


@pytest.mark.slow
@pytest.mark.parametrize("role", PATHS)
def test_every_answer_is_as_the_document_says(served, tmp_path: Path, role: str) -> None:
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(configuration(served.known))
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        f"--config-file={settings}",
        "run",
        f"{served.origin}/api/openapi.json",
        f"--url={served.origin}",
        f"--header=Authorization: Bearer {served.tokens[role]}",
        "--checks=all",
        f"--include-path-regex=^{PATHS[role]}",
        "--request-timeout=30",
        "--no-color",
        "--continue-on-failure",
        "--warnings=off",
    ]
    if EXAMPLES == 1 and role != "admin":
        # The walk through all boundary values is the same with each token.
        command.append("--phases=fuzzing,stateful")
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-4_000:]
    if kept := os.environ.get("REST_REPORT"):
        Path(kept, f"{role}.txt").write_text(ran.stdout)
