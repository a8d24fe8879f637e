"""Markdown that people wrote is shown without what could harm a reader."""

import pytest
from bs4 import BeautifulSoup

from portal.services import markdown


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "![x](https://evil.example/pixel.png)",
        "<a href='https://a.example' onclick='alert(1)'>x</a>",
        "<style>body{display:none}</style>",
        "<iframe src='https://evil.example'></iframe>",
        "<svg><script>alert(1)</script></svg>",
    ],
)
def test_nothing_that_runs_or_loads_gets_through(text):
    soup = BeautifulSoup(markdown.to_html(text), "html.parser")
    assert not soup.select("script, img, style, iframe, svg")
    for tag in soup.find_all(True):
        assert set(tag.attrs) <= {"href", "rel", "title"}
        assert str(tag.get("href", "https:")).startswith("https:")


def test_headings_stay_below_the_pages_own():
    soup = BeautifulSoup(markdown.to_html("# One\n\n## Two\n\n###### Six"), "html.parser")
    assert [(tag.name, tag.get_text()) for tag in soup.find_all(True)] == [
        ("h3", "One"),
        ("h4", "Two"),
        ("h6", "Six"),
    ]


def test_links_tell_the_other_site_nothing():
    assert 'rel="noopener noreferrer nofollow"' in markdown.to_html("[x](https://a.example)")


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", ""),
        ("# Only a heading", ""),
        ("# T\n\nOne *two*\n`three`\n\nfour", "One two three"),
        ("word " * 60, ("word " * 32).strip() + " …"),
    ],
)
def test_a_summary_is_the_first_paragraph_as_plain_text(text, summary):
    assert markdown.summary(text) == summary


def test_deep_nesting_is_shown_without_trouble():
    assert markdown.to_html("> " * 5000 + "x")
    assert markdown.to_html("[" * 5000)
