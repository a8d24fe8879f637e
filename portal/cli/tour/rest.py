"""A program that does the main job over REST, for the tour."""

from typing import Any

import requests

from portal.cli.tour import acts
from portal.cli.tour.walk import Walk, expect

#: Person -> the base path that they call and the scopes that they ask for.
PEOPLE = {
    "admin": (
        "admin/v4",
        (
            "apim:admin apim:admin_tier_view apim:admin_tier_manage "
            "apim:monetization_usage_publish apim:usage_ingest"
        ),
    ),
    "publisher": (
        "publisher/v4",
        (
            "apim:api_view apim:api_create apim:api_publish apim:api_delete "
            "apim:subscription_view apim:subscription_block apim:subscription_manage"
        ),
    ),
    "developer": ("devportal/v3", "apim:subscribe apim:app_manage apim:sub_manage"),
}


def send(walk: Walk, method: str, path: str, **more: Any) -> requests.Response:
    """Send a request to the portal without any cookie."""
    session = requests.Session()
    session.trust_env = False
    return session.request(method, walk.demo.options.portal + path, timeout=acts.SECONDS, **more)


def took(answer: requests.Response, wanted: int) -> Any:
    """Return the body of an answer.

    :raise Surprise: if its status is another one, with what it says
    """
    place = f"{answer.request.method} {answer.request.path_url}"
    expect(
        answer.status_code == wanted, f"{place} answered {answer.status_code}: {answer.text[:300]}"
    )
    return answer.json()


def register(walk: Walk) -> tuple[str, str]:
    """Register a client with the administrator's name and password, as the seed's curl does."""
    body = {
        "callbackUrl": "www.google.lk",
        "clientName": "rest_api_tour",
        "owner": "admin",
        "grantType": "password refresh_token",
        "saasApp": True,
    }
    answer = send(
        walk,
        "POST",
        "/client-registration/v0.17/register",
        json=body,
        auth=("admin", walk.password("admin")),
    )
    expect(
        answer.status_code in (200, 201),
        f"Registration answered {answer.status_code}: {answer.text[:300]}",
    )
    client = answer.json()
    return client["clientId"], client["clientSecret"]


def ask_for_token(walk: Walk, person: str) -> dict[str, Any]:
    """Get a token of a person with their password."""
    answer = send(
        walk,
        "POST",
        "/oauth2/token",
        data={
            "grant_type": "password",
            "username": person,
            "password": walk.password(person),
            "scope": PEOPLE[person][1],
        },
        auth=walk.recall("the client"),
    )
    token: dict[str, Any] = took(answer, 200)
    return token


def call(
    walk: Walk, person: str, method: str, path: str, *, expect: int = 200, **more: Any
) -> tuple[Any, requests.Response]:
    """Call a person's REST API; return the body and the answer.

    :raise Surprise: if the status is another one than expected
    """
    base = PEOPLE[person][0]
    headers = {"Authorization": f"Bearer {walk.recall(f'the token of {person}')}"}
    headers |= more.pop("headers", {})
    answer = send(walk, method, f"/api/am/{base}{path}", headers=headers, **more)
    return took(answer, expect), answer
