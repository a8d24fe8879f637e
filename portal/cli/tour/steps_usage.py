"""Calling, counting, publishing usage, and what it costs."""

import csv
import io
import time
from decimal import Decimal

from portal.cli.tour import acts
from portal.cli.tour.browser import Browser, Page
from portal.cli.tour.steps_buying import APPLICATION
from portal.cli.tour.walk import Walk, expect

CALLS = 25
MINUTE = 60
RECKONING = "25 × 0.0025 USD"
TOTAL = "0.06 USD"


def call_it(walk: Walk) -> str:
    """Call the API 25 times with the production key."""
    key = walk.recall(f"the key of {APPLICATION}")
    answers = acts.calls_through(walk, key, CALLS)
    return f"{len(answers)} times 200; the last answer: {answers[-1].json()['name']}"


def call_with_a_sandbox_key(walk: Walk) -> str:
    """Call it with a sandbox key and with a wrong key: neither is billed."""
    walk.developer.open(walk.recall(f"the application {APPLICATION}"))
    key = acts.shown_key(walk.developer.press("Generate sandbox key"))
    acts.await_call(walk, key, 200)
    unknown = acts.call(walk, "amp_live_nobody")
    expect(unknown.status_code == 401, acts.said(unknown))
    return f"200 with {key[:12]}…, 401 {acts.problem(unknown)} with a wrong one"


def publish_usage(walk: Walk) -> str:
    """Press Publish Usage and wait until the job has finished."""
    walk.admin.open("/admin/usage")
    walk.admin.press("Publish Usage")
    page = walk.admin.until(_finished, "a finished run")
    return newest_run(page)


def _finished(page: Page) -> bool:
    return "COMPLETED" in page.fact("State").split()


def newest_run(page: Page) -> str:
    """Return the words of the newest run in the list of runs."""
    return page.row("SUCCESSFUL")


def metered(walk: Walk) -> int:
    """Return what the sandbox's meter counts for the subscription's customer."""
    place = walk.recall("the usage subscription")
    subscription = acts.engine_subscription(walk, place)
    customer = next(
        item["customer"]
        for item in acts.objects(walk, "subscription")
        if item["id"] == subscription
    )
    now = int(time.time()) // MINUTE * MINUTE
    summaries = walk.control.api(
        f"/v1/billing/meters/{walk.recall('the meter')}/event_summaries",
        walk.platform_key,
        walk.account,
        customer=customer,
        start_time=str(now - 60 * MINUTE),
        end_time=str(now + 2 * MINUTE),
    )
    return int(sum(item["aggregated_value"] for item in summaries["data"]))


def see_the_meter(walk: Walk) -> str:
    """See in the sandbox that the meter shows 25."""
    count = metered(walk)
    expect(count == CALLS, f"The meter shows {count}.")
    return f"{count}"


def view_the_invoice_as_developer(walk: Walk) -> str:
    """View Invoice in the developer portal: 25 × 0.0025 USD, total 0.06 USD."""
    walk.developer.open(walk.recall("the usage subscription"))
    return _invoice(walk.developer)


def view_the_invoice_as_publisher(walk: Walk) -> str:
    """View Invoice in the publisher portal: the same."""
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Subscriptions")
    return _invoice(walk.publisher, within=APPLICATION)


def _invoice(browser: Browser, within: str = "") -> str:
    page = browser.follow("View Invoice", within=within)
    page.says(RECKONING)
    total = page.fact("Total so far")
    expect(total.startswith(TOTAL), f"The total is {total}.")
    return f"{page.row(RECKONING)}; total {total}, as of {page.fact('As of')}"


def read_the_explanation(walk: Walk) -> str:
    """Open Usage: 25 counted, the sandbox call not, and the line of the invoice explained."""
    page = walk.developer.open(walk.recall("the usage subscription") + "/usage")
    page.says("Explain this line", RECKONING, "Not counted: made with a sandbox key")
    counted = page.fact("Calls counted")
    expect(counted.startswith(f"{CALLS} "), f"Counted are {counted}.")
    return f"{counted}; {page.row(RECKONING)}"


def add_up_the_csv(walk: Walk) -> str:
    """Download the CSV: its amounts add up to the line of the invoice."""
    page = walk.developer.open(walk.recall("the usage subscription") + "/usage.csv")
    rows = list(csv.DictReader(io.StringIO(page.raw)))
    total = sum(Decimal(row["amount"]) for row in rows)
    expect(f"{total} USD" == TOTAL, f"The amounts add up to {total}.")
    return f"{len(rows)} lines, together {total} {rows[0]['currency']}"


def compare_with_the_meter(walk: Walk) -> str:
    """Compare with Stripe's meter as administrator: counted, sent and acknowledged are the same."""
    page = walk.admin.open("/admin/usage/subscriptions?compare=1")
    return page.row(APPLICATION, f"{CALLS}, the same")


def publish_again(walk: Walk) -> str:
    """Publish a second time: nothing is added."""
    walk.admin.open("/admin/usage")
    walk.admin.press("Publish Usage")
    walk.admin.until(_finished, "a finished run")
    count = metered(walk)
    expect(count == CALLS, f"The meter shows {count} now.")
    return f"the meter still shows {count}"


def end_the_period(walk: Walk) -> str:
    """End the billing period in the sandbox: the invoice over 0.06 USD is drawn in arrears."""
    place = walk.recall("the usage subscription")
    subscription = acts.engine_subscription(walk, place)
    draft = acts.end_period(walk, subscription)
    invoice = walk.control.post(f"/invoices/{draft['id']}/finalize")
    expect(invoice["total"] == 6, f"The invoice is over {invoice['total']}.")
    walk.developer.open(place)
    page = walk.developer.follow("View Invoice")
    row = page.rows(invoice["number"])
    expect(bool(row) and TOTAL in row[0], f"The invoice is not among the past ones: {row}")
    return row[0]


STEPS = (
    call_it,
    call_with_a_sandbox_key,
    publish_usage,
    see_the_meter,
    view_the_invoice_as_developer,
    view_the_invoice_as_publisher,
    read_the_explanation,
    add_up_the_csv,
    compare_with_the_meter,
    publish_again,
    end_the_period,
)
