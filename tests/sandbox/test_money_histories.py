"""Random histories: what they cost, and that the way through time doesn't matter.

SANDBOX_HISTORIES=1000 tries that many of each kind; the default is small.
"""

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sandbox.conftest import World
from tests.sandbox.histories import FINISH, START, History, Run, begin, histories


def _tries(few: int) -> settings:
    return settings(
        max_examples=int(os.environ.get("SANDBOX_HISTORIES", few)),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


_stops = st.lists(st.integers(START + 1, FINISH - 1), max_size=6)


def play(run: Run, extra: list[int]) -> dict[str, Any]:
    """Take a history to its end, stopping at `extra` moments on the way."""
    run.stop(START)
    for moment in run.stops(extra):
        run.stop(moment)
    return run.books()


@_tries(12)
@given(history=histories(), extra=_stops)
def test_invoices_come_to_quantity_times_price(
    world: World, history: History, extra: list[int]
) -> None:
    books = play(begin(world, history), extra)
    assert [each["total"] for each in books["invoices"]] == history.totals()
    assert books["status"] == "active"
    for invoice in books["invoices"]:
        assert invoice["status"] == "paid"
        assert invoice["total"] == sum(amount for amount, _quantity in invoice["lines"])
    # What was not charged (too little to charge) is still owed, to the unit.
    charged = sum(each["paid"] for each in books["invoices"])
    assert charged + books["balance"] == sum(history.totals())


@_tries(6)
@given(history=histories(broken_cards=True), slow=_stops, quick=_stops)
def test_books_do_not_depend_on_the_speed_of_a_clock(
    world: World, history: History, slow: list[int], quick: list[int]
) -> None:
    assert play(begin(world, history), slow) == play(begin(world, history), quick)


@_tries(4)
@given(
    first=histories(broken_cards=True),
    second=histories(broken_cards=True),
    turns=st.lists(st.booleans(), max_size=20),
)
def test_books_do_not_depend_on_what_other_clocks_do(
    world: World, first: History, second: History, turns: list[bool]
) -> None:
    alone = [play(begin(world, first), []), play(begin(world, second), [])]
    runs = [begin(world, first), begin(world, second)]
    waiting = [[START, *run.stops([])] for run in runs]
    for turn in [*turns, *[False] * 40, *[True] * 40]:
        if waiting[turn]:
            runs[turn].stop(waiting[turn].pop(0))
    assert waiting == [[], []]
    assert [run.books() for run in runs] == alone
