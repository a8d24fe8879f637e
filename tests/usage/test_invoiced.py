"""What is invoiced is what was estimated, explained and handed out, to the minor unit.

Random plans, calls and publish runs against the sandbox, through the engine and the real SDK.
USAGE_INVOICES=300 tries that many histories; the default is small.
"""

import csv
import io
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.models import KeyType
from portal.money import to_minor
from portal.services import costs, periods, usage_report
from portal.services.plan_rules import PlanDraft
from portal.services.usage_report import Report
from tests.contract.worlds import SandboxWorld
from tests.usage.sold import START, Made, Sold, names

SECOND = timedelta(seconds=1)
CLOSING = timedelta(minutes=59, seconds=10)
"""After a period's end: the last moment at which this test publishes for its invoice."""
DRAWN = timedelta(minutes=62)
CURRENCIES = {"USD": 2, "JPY": 0, "KWD": 3}


@dataclass
class History:
    """A plan, and what happens under it."""

    draft: PlanDraft
    made: list[Made]
    runs: list[datetime] = field(default_factory=list)


def amounts(currency: str, most: int, *, unit: bool) -> st.SearchStrategy[str]:
    """Amounts in major units: a price of one request has decimals below the minor unit."""
    places = CURRENCIES[currency] + 6 if unit else min(CURRENCIES[currency], 2)
    return st.integers(0, most * 10**places).map(
        lambda number: format(Decimal(number).scaleb(-places), "f")
    )


@st.composite
def drafts(draw: st.DrawFn) -> PlanDraft:
    kind = draw(st.sampled_from(["fixed", "per request", "GRADUATED", "VOLUME", "included"]))
    currency = draw(st.sampled_from(sorted(CURRENCIES)))
    unit, fee = amounts(currency, 2, unit=True), amounts(currency, 90, unit=False)
    more: dict[str, Any] = {"monetization_plan": "DYNAMICRATE"}
    if kind == "fixed":
        more = {"monetization_plan": "FIXEDRATE", "fixed_price": draw(fee.filter(Decimal))}
    elif kind == "per request":
        more["price_per_request"] = draw(unit.filter(Decimal))
    elif kind == "included":
        calls = draw(st.integers(1, 900))
        text = f"{calls} = 0 + {draw(fee)}\nmore = {draw(unit.filter(Decimal))}"
        more |= {"pricing_model": "GRADUATED", "tiers": text}
    else:
        ends = sorted(draw(st.sets(st.integers(1, 2000), min_size=1, max_size=3)))
        lines = [f"{end} = {draw(unit)} + {draw(fee)}" for end in ends]
        text = "\n".join([*lines, f"more = {draw(unit.filter(Decimal))} + {draw(fee)}"])
        more |= {"pricing_model": kind, "tiers": text}
    return PlanDraft(
        name=f"Plan{next(names)}",
        quota="1000",
        billing_plan="COMMERCIAL",
        currency=currency,
        billing_cycle=draw(st.sampled_from(["week", "month"])),
        trial_days=draw(st.sampled_from(["", "", "7", "14"])),
        **more,
    )


@st.composite
def histories(draw: st.DrawFn) -> History:
    draft = draw(drafts())
    bounds = _bounds(draft)
    inside = st.integers(0, int((bounds[-1] - START).total_seconds()) - 1).map(
        lambda seconds: START + timedelta(seconds=seconds)
    )
    edges = st.sampled_from(bounds[1:-1]).flatmap(
        lambda end: st.sampled_from([end - timedelta(milliseconds=1), end, end + SECOND])
    )
    made = st.builds(
        Made,
        at=st.one_of(inside, edges),
        calls=st.integers(1, 900),
        delay=st.sampled_from(
            [timedelta(), timedelta(minutes=5), timedelta(minutes=59), timedelta(hours=2)]
        ),
        resource=st.sampled_from(["/rates", "/rates/{day}"]),
        status=st.sampled_from([200, 200, 200, 404]),
        key_type=st.sampled_from([KeyType.PRODUCTION, KeyType.PRODUCTION, KeyType.SANDBOX]),
    )
    return History(draft, draw(st.lists(made, min_size=1, max_size=8)), draw(st.lists(inside)))


def _bounds(draft: PlanDraft) -> list[datetime]:
    """When the periods of a history begin and end: a trial, if there is one, and two more."""
    days = int(draft.trial_days or 0)
    first = START + timedelta(days=days)
    ends, at = [], first
    # As Stripe reckons it, written down: a month that is too short ends on its last day.
    if draft.billing_cycle == "week":
        ends = [first + timedelta(weeks=1), first + timedelta(weeks=2)]
    else:
        for _ in range(2):
            at = _next_month(at, first.day)
            ends.append(at)
    return [START, *([first] if days else []), *ends]


def _next_month(at: datetime, day: int) -> datetime:
    first = (at.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return first.replace(day=min(day, last.day))


def live(sold: Sold, history: History, travel: time_machine.Traveller) -> list[datetime]:
    """Let a history happen in the order of its moments; return the periods' bounds."""
    bounds = _bounds(history.draft)
    acts: list[tuple[datetime, int, Any]] = []
    acts += [(made.known, 0, made) for made in history.made if made.known < bounds[-1] + CLOSING]
    acts += [(moment, 1, "publish") for moment in history.runs]
    acts += [(end + CLOSING, 1, "publish") for end in bounds[1:]]
    acts += [(end - timedelta(hours=5), 2, "compare") for end in bounds[1:]]
    acts += [(end + DRAWN, 3, "draw") for end in bounds[1:]]
    for moment, _, act in sorted(acts, key=lambda each: each[:2]):
        travel.move_to(moment)
        sold.follow()
        if isinstance(act, Made):
            sold.record(act)
        elif act != "draw":
            sold.publish()
        if act == "compare":
            compare_with_preview(sold)
    return bounds


def compare_with_preview(sold: Sold) -> None:
    found = usage_report.report(sold.row)
    if sold.row.policy_version.is_dynamic and not found.is_trial:
        assert found.waiting == 0
        assert sold.previewed(found) == found.rating.minor


@pytest.fixture
def travel():
    with time_machine.travel(START, tick=False) as found:
        yield found


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("USAGE_INVOICES", "5")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(history=histories())
def test_the_invoice_is_the_estimate_the_explanation_and_the_sum_of_the_csv(
    app: Any, factories: Any, tmp_path_factory: Any, travel: Any, history: History
) -> None:
    travel.move_to(START)
    folder: Path = tmp_path_factory.mktemp("world")
    world = SandboxWorld(travel, folder)
    try:
        sold = Sold(world, factories, history.draft)
        bounds = live(sold, history, travel)
        row = sold.row
        for start, end in pairwise(bounds):
            found = usage_report.report(row, start)
            assert (found.period.start, found.period.end) == (start, end)
            if start != START:
                before = usage_report.report(row, start - timedelta(milliseconds=1))
                assert before.period.end == start
            agree(found, sold.invoiced(found), history)
    finally:
        world._app.extensions["sandbox"].store.close()


def agree(found: Report, invoiced: int, history: History) -> None:
    """Hold the explanation of a period against its invoice and the calls that were made."""
    currency = history.draft.currency
    assert found.rating is not None
    assert found.rating.minor == invoiced
    assert found.base_minor + sum(line.minor for line in found.lines) == invoiced
    rows = list(csv.DictReader(io.StringIO(usage_report.to_csv(found))))
    assert sum(to_minor(Decimal(each["amount"]), currency) for each in rows) == invoiced
    if not found.is_trial:
        quote = costs.rated(found.subscription.policy_version, found.billed)
        assert quote is not None
        assert quote.minor == invoiced
        assert sum(step.exact for step in quote.steps) == found.rating.exact
    known = sum(
        made.calls
        for made in history.made
        if found.period.start <= made.at < found.period.end
        and made.known < _bounds(history.draft)[-1] + CLOSING
        and made.status < 400
        and made.key_type is KeyType.PRODUCTION
    )
    in_trial = periods.trial_of(found.subscription) == found.period
    assert found.counted == (0 if in_trial else known)
