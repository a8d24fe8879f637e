"""What the documents promise is there: links, commands, settings, pictures."""

import re
import tomllib
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from portal.billing.engine import EVENT_TYPES
from portal.config import Settings
from portal.services.setup import API_VERSION

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
#: The two set-up commands, word for word as they were promised.
DEMO = (
    "python3 -m venv --without-pip .venv && pip --python .venv/bin/python install -q -e . "
    "&& .venv/bin/flask demo"
)
TEST = (
    'python3 -m venv --without-pip .venv && pip --python .venv/bin/python install -q -e ".[test]" '
    "&& .venv/bin/pytest"
)
README = (ROOT / "README.md").read_text()
#: What the pictures of the README may weigh together.
MOST_BYTES = 1_500_000


def tokens(page):
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        yield token
        yield from token.children or ()


def targets(page):
    """Every link and picture of a page: its path, and the heading that it leads to."""
    for token in tokens(page):
        address = token.attrGet("href") or token.attrGet("src")
        if address and not re.match(r"[a-z]+:", str(address)):
            path, _, anchor = str(address).partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def headings(page):
    """The names by which a page's headings can be linked to."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    found = list(targets(page))
    missing = [str(path) for path, _ in found if not path.exists()]
    nowhere = [
        f"{path.name}#{anchor}"
        for path, anchor in found
        if anchor and path.suffix == ".md" and path.exists() and anchor not in headings(path)
    ]
    assert missing + nowhere == []


def test_every_document_is_reached_from_the_readme():
    seen, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen:
            continue
        seen.add(page)
        for path, _ in targets(page):
            ahead += sorted(path.rglob("*.md")) if path.is_dir() else [path]
            ahead = [path for path in ahead if path.suffix == ".md" and path.exists()]
    assert [str(page) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("command", [DEMO, TEST])
def test_the_readme_has_the_promised_command_alone_on_its_line(command):
    assert [line.strip() for line in README.splitlines()].count(command) == 1


def test_the_checks_run_the_readmes_test_command():
    sed = re.search(r"sed -nE 's/(.+?)/\\1/p' README\.md", (ROOT / ".ci" / "run").read_text())
    assert sed
    found = re.findall(sed[1].replace(r"\/", "/"), README, re.MULTILINE)
    assert found == [TEST]


def test_the_readme_names_the_events_and_the_version_that_the_portal_registers():
    assert [event for event in EVENT_TYPES if README.count(event) < 2] == []
    listen = re.search(r"stripe listen --events (\S+) --forward-connect-to", README)
    assert listen
    assert tuple(listen[1].split(",")) == EVENT_TYPES
    assert API_VERSION in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_and_files_that_are_named_exist(page):
    text = page.read_text()
    words = set(re.findall(r"`([A-Z][A-Z_]+_[A-Z_]+)(?:=[^`]*)?`", text))
    sandbox = (ROOT / "portal" / "sandbox" / "settings.py").read_text()
    known = {name.upper() for name in Settings.model_fields} | OTHER_WORDS
    known |= set(re.findall(r"SANDBOX_[A-Z_]+", sandbox))
    assert words - known == set()
    paths = set(re.findall(r"`((?:portal|tests|docs|deploy|templates|static)/[\w./-]+)`", text))
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


#: Capitals with an underscore that are no settings of the portal.
OTHER_WORDS = {
    "REQUIRE_ALL_TESTS",
    "SANDBOX_METER_LAG",
    "SANDBOX_RATE_LIMIT",
    "SANDBOX_SEED",
    "SANDBOX_STRICT",
    "TEST_POSTGRESQL_URL",
    "TEST_MYSQL_URL",
    "ON_HOLD",
    "GO_FREE",
    "GO_PAID",
    "AM_API",
    "AM_APPLICATION",
    "AM_SUBSCRIPTION",
}


def test_commands_that_are_named_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    commands = {*project["entry-points"]["flask.commands"], "db", "--app"}
    named = {
        word
        for page in PAGES
        for word in re.findall(r"(?<=flask )(?:--app|[a-z]+)(?=[ `])", code(page))
    }
    assert named
    assert named - commands == set()


def code(page):
    """What stands in code on a page, each piece ending in a blank."""
    kinds = ("code_inline", "code_block", "fence")
    return " \n".join(token.content for token in tokens(page) if token.type in kinds) + " "


def test_the_pictures_are_small():
    pictures = [path for path in (ROOT / "docs" / "img").glob("*") if path.is_file()]
    shown = {path for page in PAGES for path, _ in targets(page) if path.suffix in (".png", ".svg")}
    assert set(pictures) == shown
    assert sum(path.stat().st_size for path in pictures) < MOST_BYTES
