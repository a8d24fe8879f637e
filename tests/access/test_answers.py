"""What holds for every answer of every route, whoever asks: headers, addresses, text, bad ids."""

import sqlite3

import pytest

from tests.access.requests import content_of, how, path_of
from tests.access.table import ACTORS, ADMITTED, PROFILES, lines
from tests.access.test_access import WRITES

PAGES = [line for line in lines() if line.startswith("GET ")]
EVIL = "evil.example"
MARKUP = "<script src=//evil.example></script>\"'>{{7*7}}"
BAD_IDS = [
    "00000000-0000-0000-0000-000000000000",
    "0000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-0000000000000",
    "FFFFFFFF-FFFF-4FFF-8FFF-FFFFFFFFFFFF",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "%27%20OR%201=1--",
    "%7B%7B7*7%7D%7D",
    "１２３",
    "-1",
    "1e309",
    "99999999999999999999999999",
    "a" * 5000,
]


def somebody(line):
    """Return an actor whom a route admits, and how it is called."""
    profile = PROFILES[lines()[line]]
    admitted = [actor for actor in ACTORS if profile.outcome(actor) == ADMITTED]
    preferred = [actor for actor in ("admin", "owner") if actor in admitted]
    actor = (preferred or admitted or ["visitor"])[0]
    return actor, how(line.partition(" ")[2], profile.rule)


def called(world, line, **more):
    actor, proof = somebody(line)
    content = content_of(world, line)
    content["headers"] = {**content.get("headers", {}), **more.pop("headers", {})}
    return world.call(actor, "GET", path_of(world, line), proof, **content, **more)


@pytest.mark.parametrize("line", PAGES)
def test_every_answer_carries_its_headers_and_is_kept_by_nobody(world, line):
    with world.undone():
        answer = called(world, line)
    headers = answer.headers
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "object-src 'none'", "base-uri 'none'"):
        assert part in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Server" not in headers
    assert "X-Powered-By" not in headers
    if PROFILES[lines()[line]].rule.startswith(("role:", "signed_in", "basic", "admin_or_basic")):
        assert headers["Cache-Control"] == "no-store"
        assert "Cookie" in headers["Vary"]


@pytest.mark.parametrize("line", PAGES)
def test_no_answer_repeats_the_host_that_somebody_made_up(world, line):
    forged = {"X-Forwarded-Host": EVIL, "X-Forwarded-Prefix": f"//{EVIL}", "Forwarded": EVIL}
    with world.undone():
        answer = called(world, line, base_url=f"http://{EVIL}/", headers=forged)
    assert EVIL not in answer.get_data(as_text=True)
    location = answer.headers.get("Location", "")
    assert EVIL not in location.removeprefix(f"http://{EVIL}/")
    assert not location.startswith("//")


#: Columns that people fill and pages show.
TEXTS = {
    "am_api": ("api_name", "description"),
    "am_application": ("name", "description"),
    "am_policy_subscription": ("name", "display_name", "description"),
    "am_user": ("display_name", "email"),
    "am_notice": ("subject", "body"),
    "am_mail": ("subject", "body", "recipient"),
    "am_drift": ("subject", "here", "there", "danger", "proposal"),
    "am_refund": ("because",),
    "am_oauth_client": ("client_name",),
    "am_inbox_event": ("type", "detail"),
}


@pytest.fixture
def marked(world):
    """The world with markup in every text, put back afterwards."""
    with world.undone():
        with sqlite3.connect(world.file) as database:
            for table, columns in TEXTS.items():
                known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
                for column in sorted(known & set(columns)):
                    filled = f"UPDATE {table} SET {column} = ? || rowid WHERE {column} <> ''"  # noqa: S608
                    database.execute(filled, (MARKUP,))
        database.close()
        yield world


@pytest.mark.parametrize("line", PAGES)
def test_text_that_somebody_entered_is_never_markup(marked, line):
    answer = called(marked, line)
    if answer.mimetype == "text/html":
        body = answer.get_data(as_text=True)
        assert "<script src=//evil" not in body
        assert "49&#34;" not in body
    # 502: the identity provider of the other tenant is not there.
    assert answer.status_code < 500 or answer.status_code == 502


WITH_IDS = [line for line in lines() if "<uuid:" in line or "<int:" in line or "<event_id>" in line]


@pytest.mark.parametrize("line", WITH_IDS)
def test_an_identifier_that_is_none_is_refused_and_changes_nothing(world, line):
    method, _, rule = line.partition(" ")
    actor, proof = somebody(line)
    right = path_of(world, line)
    shape = next(part for part in rule.split("/") if part.startswith("<"))
    place = rule.split("/").index(shape)
    for bad in BAD_IDS:
        parts = right.split("/")
        parts[place] = bad
        with world.undone():
            before = world.changes()
            answer = world.call(actor, method, "/".join(parts), proof, **content_of(world, line))
            assert 400 <= answer.status_code < 500, (bad, answer.status_code)
            if not rule.startswith(WRITES):
                assert world.changes() == before, bad


LISTS = [line for line in PAGES if "<" not in line and "openapi" not in line]


@pytest.mark.parametrize("line", LISTS)
def test_a_page_number_or_filter_that_is_none_breaks_nothing(world, line):
    names = ("page", "limit", "offset", "sort", "state", "act", "since", "who", "q")
    actor, proof = somebody(line)
    for value in ("-1", "1000000000", "9" * 30, "x\x00'", "é" * 500):
        for bad in ({"page": value}, dict.fromkeys(names, value)):
            content = content_of(world, line)
            query = {**content.pop("query_string", {}), **bad}
            with world.undone():
                answer = world.call(
                    actor, "GET", path_of(world, line), proof, query_string=query, **content
                )
            assert answer.status_code < 500, (bad, answer.status_code)


FORMS = [
    line for line in lines() if line.startswith("POST ") and "role:" in PROFILES[lines()[line]].rule
]


@pytest.mark.parametrize("line", FORMS)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_that_another_site_sends_is_refused_though_its_token_is_right(world, line, site):
    actor, proof = somebody(line)
    content = content_of(world, line)
    content["headers"] = {"Sec-Fetch-Site": site}
    before = world.changes()
    assert world.call(actor, "POST", path_of(world, line), proof, **content).status_code == 400
    assert world.changes() == before
