"""A form takes its own fields: whatever else is sent changes no column."""

import sqlite3

import pytest

from portal.extensions import db
from tests.access.requests import content_of, how, path_of
from tests.access.table import ACTORS, ADMITTED, PROFILES, lines

#: What nobody may choose for themselves. Forms that have such a field are narrower below.
GUARDED = (
    *("tenant_id", "user_id", "owner_id", "provider_id", "uuid", "api_uuid", "password_hash"),
    *("session_epoch", "key_hash", "billing", "publisher_block", "approval", "status"),
    *("platform_account", "stripe_product_id", "stripe_plan_id", "connected_account", "trusted"),
    *("engine_subscription_id", "price_per_request", "created_at", "is_monetization_enabled"),
)
#: Fields of these names that a form has: its own business.
OWN = {"/publisher/apis/<uuid:uuid>/lifecycle": ("status",)}
SENT = [
    line
    for line, profile in lines().items()
    if line.startswith(("POST ", "PUT ")) and PROFILES[profile].rule.startswith(("role:", "scope:"))
]
MARK = "987654321"


def dump(world):
    with sqlite3.connect(world.file) as database:
        tables = [
            row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        found = "\n".join(
            str(row)
            for table in tables
            for row in database.execute(f"SELECT * FROM {table}")  # noqa: S608
        )
    database.close()
    return found


@pytest.mark.parametrize("line", SENT)
def test_a_column_that_no_form_has_is_not_taken(world, line):
    _, _, rule = line.partition(" ")
    profile = PROFILES[lines()[line]]
    actor = next(name for name in ("admin", "owner", *ACTORS) if profile.outcome(name) == ADMITTED)
    every = {column.name for table in db.Model.metadata.sorted_tables for column in table.columns}
    assert set(GUARDED) <= every
    sent = dict.fromkeys(set(GUARDED) - set(OWN.get(rule, ())), MARK)
    content = content_of(world, line)
    if "json" in content:
        content["json"] = {**sent, **content["json"]}
    else:
        content["data"] = {**sent, **content.get("data", {})}
    method = line.partition(" ")[0]
    with world.undone():
        answer = world.call(actor, method, path_of(world, line), how(rule, profile.rule), **content)
        assert answer.status_code < 500
        assert MARK not in dump(world), line
