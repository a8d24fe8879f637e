"""F15: how fast batches are sent to a provider that refuses some as too many."""

import random

import pytest

from portal.flows import sending


def test_f15_the_pace_halves_and_comes_back() -> None:
    now = 0.0
    pace = sending.Pace(100, tick=lambda: now)
    waits = [pace.turn() for _ in range(150)]
    assert waits[0] <= 0.01
    assert waits[-1] == pytest.approx(1.5, abs=0.3)
    now += 10
    pace.turn()
    pace.busy(2.0)
    assert pace.turn() >= 2.0
    now += 1
    slow = pace.turn(), pace.turn()
    assert slow[1] - slow[0] == pytest.approx(1 / 50)
    for _ in range(500):
        pace.went_well()
    fast = pace.turn(), pace.turn()
    assert fast[1] - fast[0] == pytest.approx(1 / 100)


@pytest.mark.parametrize(
    ("limit", "at_random", "taken", "refused"),
    [(100, 0.1, (0.85, 0.91), 0.15), (50, 0.0, (0.45, 0.51), 0.2), (0, 0.0, (0.0, 0.0), 1.0)],
)
def test_f15_the_pace_finds_what_the_provider_takes(
    limit: int, at_random: float, taken: tuple[float, float], refused: float
) -> None:
    """Two minutes of a provider that allows so many calls a second, and refuses some at random."""
    chance, now, seconds = random.Random(15), 0.0, 120
    tokens, last = float(limit), 0.0
    pace = sending.Pace(100, tick=lambda: now)
    answers = []
    while now < seconds:
        now += pace.turn()
        tokens, last = min(limit, tokens + (now - last) * limit), now
        good = tokens >= 1 and chance.random() >= at_random
        answers.append(good)
        if good:
            tokens -= 1
            pace.went_well()
        else:
            pace.busy(None)
    assert taken[0] <= sum(answers) / seconds / 100 <= taken[1]
    assert 1 - sum(answers) / len(answers) <= refused
    assert limit or len(answers) < 400
