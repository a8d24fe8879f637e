"""billing-e2e: somebody else's idea of how Stripe's subscriptions live on a test clock."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.sandbox.outside.conftest import Running

PLAY = Path(__file__).with_name("play.py")


@pytest.mark.parametrize(
    ("scenario", "steps"),
    [
        ("renewal", 6),
        ("failed-renewal", 10),
        ("plan-change", 13),
        ("cancel-at-period-end", 9),
        ("signup-card-problems", 7),
    ],
)
def test_its_scenario_passes(
    running: Running, billing_e2e: Path, scenario: str, steps: int
) -> None:
    product = running.api("POST", "/v1/products", name="Weather API - Gold")["id"]
    common = {"product": product, "currency": "usd", "recurring[interval]": "month"}
    prices = [
        running.api("POST", "/v1/prices", **common, unit_amount=amount)["id"]
        for amount in ("1500", "4500")
    ]
    known = [running.base, running.key, running.account]
    done = subprocess.run(
        [str(billing_e2e), str(PLAY), *known, *prices, scenario],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    played = json.loads(done.stdout)
    assert played["passed"], played
    assert len(played["steps"]) == steps
    # It cleans up: the clock takes its customer along.
    assert running.api("GET", "/v1/test_helpers/test_clocks")["data"] == []
    assert running.api("GET", "/v1/customers")["data"] == []
