"""Every act of an administrator or a publisher leaves one entry, of its tenant and its author."""

import sqlite3

import pytest

from portal.admin.audit import ACTS
from portal.web.audit import is_noted
from tests.access.requests import content_of, how, path_of
from tests.access.table import ACTORS, ADMITTED, FORBIDDEN, PROFILES, lines

NOTED = [
    line
    for line, profile in lines().items()
    if not line.startswith(("GET ", "* "))
    and (
        PROFILES[profile].rule in ("role:admin", "role:admin,publisher", "basic:admin")
        or PROFILES[profile].rule == "admin_or_basic"
        or line.partition(" ")[2].startswith(("/api/am/admin/", "/api/am/publisher/"))
    )
]
#: What an act needs so that it is not refused; without it nothing is done and nothing noted.
FILLED = {
    "POST /admin/configuration": {"grace_days": "3", "reminder_days": "1"},
    "POST /admin/people/<uuid:uuid>": {"display_name": "Sam", "roles": "subscriber"},
    "POST /admin/people/new": {"username": "new", "display_name": "New", "roles": "subscriber"},
}


def entries(world):
    with sqlite3.connect(world.file) as database:
        query = "SELECT act, actor, tenant_id, changes FROM am_audit"
        return database.execute(query).fetchall()


def endpoints(world):
    for rule in world.app.url_map.iter_rules():
        view = world.app.view_functions[rule.endpoint]
        if rule.methods - {"GET", "HEAD", "OPTIONS"} and rule.endpoint != "static":
            yield rule, getattr(view, "access", "")


def test_every_act_that_is_noted_has_words(world):
    noted = {rule.endpoint for rule, access in endpoints(world) if is_noted(rule.rule, access)}
    assert noted == set(ACTS)


def test_the_routes_of_the_table_are_those_that_are_noted(world):
    noted = {rule.rule for rule, access in endpoints(world) if is_noted(rule.rule, access)}
    assert noted == {line.partition(" ")[2] for line in NOTED}


@pytest.mark.parametrize("line", NOTED)
def test_an_act_leaves_one_entry_and_a_refused_one_leaves_none(world, line):
    method, _, rule = line.partition(" ")
    profile = PROFILES[lines()[line]]
    content = content_of(world, line)
    if line in FILLED:
        content["data"] = FILLED[line]
    path, proof = path_of(world, line), how(rule, profile.rule)
    for actor in ACTORS:
        with world.undone():
            answer = world.call(actor, method, path, proof, **content)
            found = entries(world)
            if answer.status_code < 400 and profile.outcome(actor) == ADMITTED:
                [(act, author, _tenant, _changes)] = found
                assert act in ACTS
                assert author == {"far admin": "ada@other.example", "admin": "ada"}.get(
                    actor, author
                )
            elif profile.outcome(actor) in (FORBIDDEN, "S", "U", "N"):
                assert found == [], (actor, answer.status_code)
