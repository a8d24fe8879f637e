"""Runs a demo for a person or a program, and says where everything is."""

import json
import sys
from pathlib import Path

import click

from portal.cli.demo.options import from_command_line
from portal.cli.demo.stack import Demo, running
from portal.cli.examples.data import COMPANIES, SUPER, qualified
from portal.models.user import ADMIN, PUBLISHER, SUBSCRIBER

#: What each of the three users of CONTRACT 1.1 is called there.
USERS = {"admin": ADMIN, "publisher": PUBLISHER, "developer": SUBSCRIBER}


def run(
    *, host: str, port: int, sandbox_port: int, data: Path | None, reset: bool, as_json: bool
) -> None:
    """Run a demo until Ctrl-C or SIGTERM.

    :raise portal.cli.processes.StartError: with one sentence, if it can't
    """
    options = from_command_line(host=host, port=port, sandbox_port=sandbox_port, data=data)
    _say("Starting; the first time takes some seconds …")
    try:
        with running(options, reset=reset) as demo:
            if as_json:
                print(json.dumps(as_object(demo)), flush=True)
            else:
                print(as_page(demo), flush=True)
            demo.servers.watch()
    except KeyboardInterrupt:
        _say("Stopped.")


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
    sys.stderr.flush()


def as_object(demo: Demo) -> dict[str, object]:
    """Return what ``--json`` prints."""
    platform = demo.kept.platforms[SUPER.domain]
    return {
        "portal": demo.options.portal,
        "sandbox": demo.options.sandbox,
        "tenant": SUPER.domain,
        "tenants": [company.domain for company in COMPANIES],
        "users": {
            name: {"username": name, "password": demo.kept.passwords[name]} for name in USERS
        },
        "stripe": {
            "secret_key": platform.secret_key,
            "webhook_secret": demo.webhook_secret,
            "connected_account": platform.connected["publisher"],
            "sandbox_admin_token": demo.kept.admin_token,
        },
    }


def as_page(demo: Demo) -> str:
    """Return what a person reads: addresses, names, passwords, and how to go on."""
    lines = [
        "",
        "The portal is running.",
        "",
        f"  Portal          {demo.options.portal}",
        f"  Stripe sandbox  {demo.options.sandbox}/_sandbox/",
        f"                  token {demo.kept.admin_token}",
        f"  Back end        {demo.backend}/openapi.json",
        "",
        "  Sign in as the developer, subscribe to an API and press Complete Payment.",
        "  Pay with the card 4242 4242 4242 4242, any date ahead, any code. No money moves.",
        "",
    ]
    for company in COMPANIES:
        lines.append(f"  {company.platform} ({company.domain})")
        for person in company.people:
            name = qualified(person, company)
            lines.append(f"    {name:<30}{demo.kept.passwords[name]}   {person.role}")
        for publisher, account in demo.kept.platforms[company.domain].connected.items():
            lines.append(f"    {publisher}'s connected account: {account}")
        lines.append("")
    lines += [f"  Kept in {demo.folder}", "", "Press Ctrl-C to stop."]
    return "\n".join(lines)
