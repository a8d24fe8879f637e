"""Gateways and sources that are not the portal's own: decisions, tokens, logs, analytics."""

import json
import os
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from portal.cli.demo.stack import environment
from portal.cli.tour import acts, rest
from portal.cli.tour.forms import Value
from portal.cli.tour.steps_buying import APPLICATION
from portal.cli.tour.walk import Walk, expect

AUTHORIZE = "/gateway/authorize"
IMPORTED = 5


def ask_as_traefik(walk: Walk) -> str:
    """Ask for a decision as Traefik does: 200 and whose call it is; 401 for a wrong key."""
    answer = _ask(walk, walk.recall(f"the key of {APPLICATION}"))
    expect(answer.status_code == 200, acts.said(answer))
    owner = answer.headers["X-Subscription"]
    mine = walk.recall("the usage subscription").rpartition("/")[2]
    expect(owner == mine, f"It is said to be the call of {owner}.")
    unknown = _ask(walk, "amp_live_nobody_at_all")
    expect(unknown.status_code == 401, acts.said(unknown))
    return f"200, X-Subscription {owner[:8]}…, {answer.headers['RateLimit']}; 401 with a wrong key"


def _ask(walk: Walk, key: str) -> Any:
    place = urlsplit(walk.recall("the gateway address")).path.removeprefix("/gateway")
    headers = {
        "ApiKey": key,
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Host": "api.example.com",
        "X-Forwarded-Uri": place + acts.RESOURCE,
    }
    return rest.send(walk, "GET", AUTHORIZE, headers=headers)


def call_with_an_access_token(walk: Walk) -> str:
    """Generate a consumer key for the sandbox, get an access token with it, and call."""
    walk.keep("the token of developer", rest.ask_for_token(walk, "developer")["access_token"])
    application = walk.recall(f"the application {APPLICATION}").rpartition("/")[2]
    body = {"keyType": "SANDBOX", "grantTypesToBeSupported": ["client_credentials"]}
    made, _ = rest.call(
        walk, "developer", "POST", f"/applications/{application}/generate-keys", json=body
    )
    answer = rest.send(
        walk,
        "POST",
        "/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=(made["consumerKey"], made["consumerSecret"]),
    )
    token = rest.took(answer, 200)
    place = urlsplit(walk.recall("the gateway address")).path + acts.RESOURCE
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    called = rest.send(walk, "GET", place, headers=bearer)
    expect(called.status_code == 200, acts.said(called))
    return f"consumer key {made['consumerKey'][:8]}…, token for {token['expires_in']} s, 200"


def import_a_log(walk: Walk) -> str:
    """Import the log of an nginx with five calls of a sandbox key, twice: they count once."""
    subscription = walk.recall("the usage subscription").rpartition("/")[2]
    log = walk.demo.options.folder / "nginx-usage.log"
    log.write_text("".join(_line(subscription) for _ in range(IMPORTED)))
    first, again = _import(walk, str(log)), _import(walk, str(log))
    expect(first["accepted"] == IMPORTED, f"The import said {first}.")
    expect((again["accepted"], again["duplicates"]) == (0, IMPORTED), f"Again it said {again}.")
    page = walk.developer.open(walk.recall("the usage subscription") + "/usage")
    page.says("Not counted: made with a sandbox key")
    return f"{first['accepted']} calls taken in, then {again['duplicates']} that were known"


def _line(subscription: str) -> str:
    # As deploy/nginx-gateway.conf writes it.
    call = {
        "at": round(time.time(), 3),
        "id": uuid4().hex,
        "sub": subscription,
        "key": "SANDBOX",
        "method": "GET",
        "path": acts.RESOURCE.partition("?")[0],
        "status": "200",
        "in": 120,
        "out": 480,
    }
    return json.dumps(call, separators=(",", ":")) + "\n"


def _import(walk: Walk, log: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "flask", "--app", "wsgi:app", "usage", "import", log, "--json"]
    done = subprocess.run(  # noqa: S603 (the command is built here)
        command,
        env={**os.environ, "FLASK_SKIP_DOTENV": "1", **environment(walk.demo.settings)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    expect(done.returncode == 0, f"flask usage import ended with {done.stderr[-300:]}")
    return acts.parsed(done.stdout)


def choose_a_source(walk: Walk) -> str:
    """Choose an Elasticsearch that has no calls yet, and test it; then the portal's own again."""
    place = urlsplit(walk.demo.backend)
    wrong: dict[str, Value] = {
        "kind": "elasticsearch",
        "analytics_host": f"http://{place.hostname}",
        "analytics_port": str(place.port),
    }
    walk.admin.open("/admin/usage/source")
    walk.admin.press("Save", wrong).says("The source is saved")
    walk.admin.press("Test").says("has no index apim_event_response")
    walk.admin.press("Save", {"kind": "portal", "give_up_rest": True}).says("The source is saved")
    return "it has no index apim_event_response, and says so; the portal's own again"


STEPS = (
    ask_as_traefik,
    call_with_an_access_token,
    import_a_log,
    choose_a_source,
)
