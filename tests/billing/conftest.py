import json
from pathlib import Path

import pytest

from tests.support.outgoing import gate
from tests.support.scripted_stripe import scripted_engine

EVENTS = Path(__file__).parents[1] / "data" / "stripe-events"


@pytest.fixture(autouse=True)
def outgoing(monkeypatch):
    """What the engine sends is what Stripe takes."""
    with gate(monkeypatch) as seen:
        yield seen


@pytest.fixture
def recorded():
    """Reads a recorded event or object by the name of its file."""
    return lambda name: json.loads((EVENTS / f"{name}.json").read_text())


@pytest.fixture
def scripted():
    """A Stripe engine and the transport that plays Stripe."""
    return scripted_engine()
