"""Recipes for programs, with the reader's own address and name and without any secret.

The administrator's is the one that the documentation of WSO2's monetization gives: register,
get a token, publish usage, ask how it went. Each works as it stands in a shell with curl and sed.
"""

import shlex
from dataclasses import dataclass

from portal.models import User
from portal.services import scopes


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do; ``name`` is the identifier on the page."""

    name: str
    title: str
    text: str
    code: str


def of_administrators(base_url: str, user: User) -> list[Step]:
    """Return how usage is published by program."""
    body = (
        '{"callbackUrl": "www.example.com", "clientName": "publish_usage", '
        '"grantType": "password refresh_token", "saasApp": true}'
    )
    register = "\n".join(
        (
            'CLIENT=$(curl -sS -X POST -u "$NAME:$PASSWORD" \\',
            "  -H 'Content-Type: application/json' \\",
            f"  -d {shlex.quote(body)} \\",
            f"  {_quoted(base_url)}/client-registration/v0.17/register)",
            f'CLIENT_ID=$(printf %s "$CLIENT" | {_field("clientId")})',
            f'CLIENT_SECRET=$(printf %s "$CLIENT" | {_field("clientSecret")})',
            'echo "$CLIENT_ID"',
        )
    )
    job = f"{_quoted(base_url)}/api/am/admin/v4/monetization/publish-usage"
    return [
        _who(user),
        Step(
            name="register",
            title="Register a program",
            text="Once. Keep the two values: the secret is not shown again.",
            code=register,
        ),
        _token(base_url, scopes.USAGE_PUBLISH),
        Step(
            name="publish",
            title="Publish usage",
            text="Answers 202 at once and works in the background; 409 while it is running.",
            code=f'curl -sS -X POST -H "Authorization: Bearer $TOKEN" \\\n  {job}',
        ),
        Step(
            name="status",
            title="Ask how it went",
            text="COMPLETED and SUCCESSFUL: everything was acknowledged.",
            code=f'curl -sS -H "Authorization: Bearer $TOKEN" \\\n  {job}/status',
        ),
    ]


def of_publishers(base_url: str, user: User) -> list[Step]:
    """Return how APIs and their revenue are read by program."""
    apis = f"{_quoted(base_url)}/api/am/publisher/v4/apis"
    return [
        _who(user),
        _given(),
        _token(base_url, f"{scopes.API_VIEW} {scopes.SUBSCRIPTION_VIEW}"),
        Step(
            name="apis",
            title="List your APIs",
            text="Each id opens the addresses below it: /monetization, /revenue.",
            code=f'curl -sS -H "Authorization: Bearer $TOKEN" \\\n  {apis}',
        ),
    ]


def of_developers(base_url: str, user: User) -> list[Step]:
    """Return how subscriptions and their usage are read by program."""
    mine = f"{_quoted(base_url)}/api/am/devportal/v3/subscriptions"
    return [
        _who(user),
        _given(),
        _token(base_url, scopes.SUBSCRIBE),
        Step(
            name="subscriptions",
            title="List your subscriptions",
            text="Each subscriptionId opens /usage and /access below it.",
            code=f'curl -sS -H "Authorization: Bearer $TOKEN" \\\n  {mine}',
        ),
    ]


def _who(user: User) -> Step:
    return Step(
        name="who",
        title="Say who you are",
        text="The shell asks for the password, so that it stands in no file and no history.",
        code=f"NAME={shlex.quote(user.qualified_name)}\n"
        "printf 'Password of %s: ' \"$NAME\"; read -rs PASSWORD; echo",
    )


def _given() -> Step:
    return Step(
        name="given",
        title="Name the program",
        text="An administrator registers it once under Admin > Automate it, and gives you both.",
        code="printf 'Client ID: '; read -r CLIENT_ID\n"
        "printf 'Client secret: '; read -rs CLIENT_SECRET; echo",
    )


def _token(base_url: str, scope: str) -> Step:
    code = "\n".join(
        (
            'TOKEN=$(curl -sS -X POST -u "$CLIENT_ID:$CLIENT_SECRET" \\',
            '  -d grant_type=password --data-urlencode "username=$NAME" \\',
            '  --data-urlencode "password=$PASSWORD" \\',
            f"  --data-urlencode {shlex.quote('scope=' + scope)} \\",
            f"  {_quoted(base_url)}/oauth2/token | {_field('access_token')})",
            'test -n "$TOKEN" && echo "The token works for an hour."',
        )
    )
    return Step(
        name="token",
        title="Get a token",
        text="For this scope and nothing else; it works for an hour.",
        code=code,
    )


def _field(name: str) -> str:
    """Return what takes one text out of a JSON object, where no jq is installed."""
    return f"""sed -n 's/.*"{name}": *"\\([^"]*\\)".*/\\1/p'"""


def _quoted(base_url: str) -> str:
    return shlex.quote(base_url)
