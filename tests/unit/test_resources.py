"""A path's resource is the template that it fits, found in a time that grows with its length."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portal.services.resources import LONGEST_PATH, Resources

_TEMPLATES = st.lists(
    st.sampled_from(["{a}", "{b/c}", "a", "ab", "-", "/", ".", "{", "}"]), max_size=7
).map(lambda parts: "/" + "".join(parts))
_PATHS = st.text(alphabet="ab-./{", max_size=9).map(lambda text: "/" + text)


def _fits(template: str, path: str) -> bool:
    """The rule in its plainest form, which takes too long for long paths."""
    parts = re.split(r"\{[^{}]*\}", template)
    return bool(re.fullmatch("[^/]+".join(map(re.escape, parts)), path))


@given(template=_TEMPLATES, path=_PATHS)
@example(template="/{a}-{b}", path="/a--b")
@example(template="/{a}{b}a/{c}", path="/aaa/a")
def test_each_place_takes_at_least_one_character_of_its_segment(template: str, path: str) -> None:
    marked = "{x}" + template
    found = Resources([marked]).of("x" + path)
    # A path without its last slashes is the same resource.
    assert (found == marked) == _fits(marked, ("x" + path).rstrip("/"))


def test_the_template_with_the_fewest_places_names_the_resource() -> None:
    found = Resources(["/r/{a}/{b}", "/r/{a}/all", "/r/latest"])
    assert found.of("/r/2026-05/all") == "/r/{a}/all"
    assert found.of("/r/latest") == "/r/latest"
    assert found.of("/r/2026%2D05/7/") == "/r/{a}/{b}"
    assert found.of("/r/2026-05/7/8") == "/r/2026-05/{id}/{id}"


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/rates/{year}-{month}-{day}/close", "/rates/" + "-" * 8000 + "/x"),
        ("/r/{a}{b}{c}{d}/end", "/r/" + "a" * 8000),
        ("/r/{a}x{b}xx{c}x{d}/end", "/r/" + "x" * 8000 + "/end/x"),
        ("/" + "/".join(["{a}b"] * 50), "/" + "/".join(["ab" * 70] * 49) + "/aa"),
        ("/" + "{a}ab" * 50, "/" + "ab" * 4000 + "/"),
        ("/{a}/{b}/end", "/" + "a/" * 1_000_000),
    ],
    ids=lambda value: value[:20],
)
def test_no_path_that_a_caller_makes_up_takes_long(template: str, path: str) -> None:
    resources = Resources([template])
    began = time.process_time()
    resources.of(path)
    assert time.process_time() - began < 0.5


def test_of_an_endless_path_the_beginning_names_the_resource() -> None:
    resources = Resources(["/r/{id}"])
    assert resources.of("/r/" + "a" * LONGEST_PATH * 2) == "/r/{id}"
    assert len(resources.of("/x" * LONGEST_PATH)) == 255
