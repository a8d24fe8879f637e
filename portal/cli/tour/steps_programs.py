"""What programs do over HTTP: the seed's REST calls, and a webhook that is not genuine."""

from typing import Any

import requests

from portal.cli.tour import acts
from portal.cli.tour.walk import Walk, eventually, expect

SCOPE = "apim:monetization_usage_publish"
PUBLISH = "/api/am/admin/v4/monetization/publish-usage"


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def _address(walk: Walk, path: str) -> str:
    return walk.demo.options.portal + path


def _took(answer: requests.Response, *wanted: int) -> dict[str, Any]:
    place = answer.request.path_url
    expect(
        answer.status_code in wanted,
        f"{place} answered {answer.status_code}: {answer.text[:200]}",
    )
    body: dict[str, Any] = answer.json()
    return body


def register_a_client(walk: Walk) -> str:
    """Register a REST client with the administrator's name and password, as the seed's curl."""
    body = {
        "callbackUrl": "www.google.lk",
        "clientName": "rest_api_admin",
        "owner": "admin",
        "grantType": "password refresh_token",
        "saasApp": True,
    }
    answer = _session().post(
        _address(walk, "/client-registration/v0.17/register"),
        json=body,
        auth=("admin", walk.password("admin")),
        timeout=acts.SECONDS,
    )
    client = _took(answer, 200, 201)
    walk.keep("the client", (client["clientId"], client["clientSecret"]))
    return f"{answer.status_code}, clientId {client['clientId'][:8]}…"


def get_a_token(walk: Walk) -> str:
    """Get an access token with the scope that publishes usage."""
    answer = _session().post(
        _address(walk, "/oauth2/token"),
        data={
            "grant_type": "password",
            "username": "admin",
            "password": walk.password("admin"),
            "scope": SCOPE,
        },
        auth=walk.recall("the client"),
        timeout=acts.SECONDS,
    )
    token = _took(answer, 200)
    expect(SCOPE in token["scope"].split(), f"The token has the scope {token['scope']!r}.")
    walk.keep("the token", token["access_token"])
    return f"{token['token_type']}, scope {token['scope']}, {token['expires_in']} s"


def publish_by_rest(walk: Walk) -> str:
    """Publish usage over REST: accepted at once."""
    answer = _session().post(_address(walk, PUBLISH), headers=_bearer(walk), timeout=acts.SECONDS)
    body = _took(answer, 202)
    return f"202 {body['status']!r}: {body['message']!r}"


def status_by_rest(walk: Walk) -> str:
    """Ask over REST until the job has finished."""

    def finished() -> dict[str, Any] | None:
        answer = _session().get(
            _address(walk, f"{PUBLISH}/status"), headers=_bearer(walk), timeout=acts.SECONDS
        )
        body = _took(answer, 200)
        return body if body["state"] == "COMPLETED" else None

    body = eventually(finished, "finished publish job")
    expect(body["status"] == "SUCCESSFUL", f"The job was {body['status']}.")
    return ", ".join(f"{name} {body[name]}" for name in ("state", "status", "startedTime"))


def refuse_without_a_token(walk: Walk) -> str:
    """Try to publish without a token."""
    answer = _session().post(_address(walk, PUBLISH), timeout=acts.SECONDS)
    expect(answer.status_code == 401, f"It answered {answer.status_code}.")
    return f"401 {answer.json()['message']!r}"


def the_service_is_a_client(walk: Walk) -> str:
    """Ask whether the Stripe service is registered at the portal's authorization server."""
    address = _address(walk, "/api/am/stripe/configure")
    stranger = _session().get(address, timeout=acts.SECONDS)
    expect(stranger.status_code == 401, f"A stranger was answered {stranger.status_code}.")
    admin = ("admin", walk.password("admin"))
    body = _took(_session().get(address, auth=admin, timeout=acts.SECONDS), 200)
    metadata = _session().get(
        _address(walk, "/.well-known/openid-configuration"), timeout=acts.SECONDS
    )
    keys = _took(_session().get(_took(metadata, 200)["jwks_uri"], timeout=acts.SECONDS), 200)
    return f"{body['status']!r}; 401 to strangers; {len(keys['keys'])} signing key published"


def forge_a_webhook(walk: Walk) -> str:
    """Send the webhook an event that Stripe did not sign: refused."""
    answer = _session().post(
        _address(walk, "/api/am/stripe/webhook"),
        data=b'{"id": "evt_forged", "type": "customer.subscription.deleted"}',
        headers={"Stripe-Signature": "t=1,v1=00", "Content-Type": "application/json"},
        timeout=acts.SECONDS,
    )
    expect(answer.status_code == 400, f"It answered {answer.status_code}.")
    walk.admin.open("/admin/events").says("wrong signature").says_not("evt_forged")
    return f"400 {answer.json()['error']!r}; the events page counts it and keeps nothing"


def _bearer(walk: Walk) -> dict[str, str]:
    return {"Authorization": f"Bearer {walk.recall('the token')}"}


STEPS = (
    register_a_client,
    get_a_token,
    publish_by_rest,
    status_by_rest,
    refuse_without_a_token,
    the_service_is_a_client,
    forge_a_webhook,
)
