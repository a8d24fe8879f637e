"""The security checklist names tests that exist, and at least one on each line."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "security-checklist.md"
LINES = [
    line
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| requirement", "|---"))
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split("|")[1].strip())
def test_each_line_is_held_by_tests_that_exist(line):
    named = re.findall(r"`(tests/[^`:]+)::(\w+)`", line.split("|")[3])
    assert named, "name the test that holds it"
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"


def test_no_area_is_missing():
    text = PAGE.read_text()
    for word in ("cookie", "caching", "CSRF", "headers", "redirects", "as a client", "codes"):
        assert word in text
    for word in ("columns", "rebinding", "at rest", "webhook", "CSV", "guessing", "proxies"):
        assert word in text
    assert len(LINES) >= 50
