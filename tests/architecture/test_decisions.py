"""The decision records are complete, short, and true about the tests they name."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PARTS = ["Context", "Decision", "Consequences", "Alternatives", "Test"]
# A printed page, with the blank lines between its parts.
LINES_OF_A_PAGE = 70


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(page.name[:4]) for page in PAGES]
    assert numbers == list(range(1, len(PAGES) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_is_one_page_with_its_five_parts(page: Path) -> None:
    text = page.read_text()
    assert re.match(rf"(.*\n\n)?# {int(page.name[:4])}\. \w", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert len(text.splitlines()) <= LINES_OF_A_PAGE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_tests_that_a_decision_names_are_there(page: Path) -> None:
    part = page.read_text().split("## Test\n", 1)[1]
    named = re.findall(r"`(tests/[^`:]+)(?:::(\w+))?`", part)
    missing = [
        f"{path}::{test}"
        for path, test in named
        if not (ROOT / path).exists() or (test and f"def {test}(" not in (ROOT / path).read_text())
    ]
    assert missing == []
    assert named or "no test" in part.lower()


def test_every_dependency_is_decided() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    written = "\n".join(page.read_text() for page in PAGES).lower()
    undecided = [
        name
        for name in (Requirement(line).name for line in project["dependencies"])
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", written)
    ]
    assert undecided == []
