"""Publishing an API from its OpenAPI document, and selling it."""

import requests

from portal.cli.tour import acts
from portal.cli.tour.acts import objects
from portal.cli.tour.forms import Value
from portal.cli.tour.steps_plans import DYNAMIC, FIXED
from portal.cli.tour.walk import Walk, expect

CONTEXT = "tour"
PLANS = ("Free", "Bronze", "Tokyo", FIXED, DYNAMIC)
COMMERCIAL = 4


def import_an_api(walk: Walk) -> str:
    """Create an API from the back end's OpenAPI document."""
    session = requests.Session()
    session.trust_env = False
    document = session.get(f"{walk.demo.backend}/openapi.json", timeout=acts.SECONDS)
    walk.publisher.open("/publisher/apis/import")
    page = walk.publisher.press(
        "Import", {"context": CONTEXT}, files={"file": ("openapi.json", document.content)}
    )
    walk.keep("the API", page.url)
    walk.keep("the API's name", document.json()["info"]["title"])
    walk.keep("the gateway address", f"{walk.demo.options.portal}/gateway/{CONTEXT}/1.0.0")
    page.says(document.json()["info"]["title"], f"/gateway/{CONTEXT}/1.0.0")
    return f"{page.heading!r} in state {page.fact('State')}"


def attach_plans(walk: Walk) -> str:
    """Attach a free plan and four commercial plans to it."""
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Plans", within="Monetization")
    walk.publisher.press("Save", {"policies": PLANS})
    page = walk.publisher.open(walk.recall("the API"))
    return page.says(*PLANS).fact("Plans")


def publish_the_api(walk: Walk) -> str:
    """Publish it: developers see it, and commercial plans can't be bought yet."""
    walk.publisher.open(walk.recall("the API"))
    page = walk.publisher.press("Publish")
    expect("Published" in page.fact("State"), f"The state is {page.fact('State')}.")
    page = acts.api_page(walk, walk.recall("the API's name")).says("Not for sale yet")
    return f"published; {page.heading!r} is in the catalogue, {DYNAMIC} not for sale yet"


def refuse_an_account_that_is_none(walk: Walk) -> str:
    """Try to sell it through an account that does not exist."""
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Monetization")
    walk.publisher.press("Save", _sold_through("acct_1DoesNotExist"), expect=422)
    page = walk.publisher.open(walk.recall("the API"))
    expect("Not Monetized" in page.fact("Monetization"), page.glimpse)
    return "422 with a sentence; still Not Monetized"


def enable_monetization(walk: Walk) -> str:
    """Enable monetization with the publisher's connected account."""
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Monetization")
    page = walk.publisher.press("Save", _sold_through(walk.account))
    for plan in PLANS[1:]:
        row = page.rows(plan, "price_")
        expect(len(row) == 1 and "Not Monetized" not in row[0], f"{plan} is not sold: {row}")
    product = [item for item in objects(walk, "product") if _product_part(walk) in item["id"]]
    walk.keep("the product", product[0]["id"])
    return f"Monetized: {', '.join(PLANS[1:])}"


def _sold_through(account: str) -> dict[str, Value]:
    return {"enabled": True, "properties-ConnectedAccountKey": account}


def _product_part(walk: Walk) -> str:
    """Return the API's id as its product has it."""
    return str(walk.recall("the API")).rpartition("/")[2].replace("-", "")


def see_product_prices_and_meter(walk: Walk) -> str:
    """See product, prices and meter in the sandbox."""
    product = walk.recall("the product")
    prices = [item for item in objects(walk, "price") if item["product"] == product]
    expect(len(prices) == COMMERCIAL, f"The sandbox has {len(prices)} prices of {product}.")
    by_plan = {price["nickname"]: price for price in prices}
    expect(by_plan["Tokyo"]["unit_amount"] == 500, f"Tokyo costs {by_plan['Tokyo']}.")
    expect(by_plan["Bronze"]["unit_amount"] == 999, f"Bronze costs {by_plan['Bronze']}.")
    usage = by_plan[DYNAMIC]
    expect(usage["unit_amount_decimal"] == "0.25", f"{DYNAMIC} costs {usage}.")
    meter = usage["recurring"]["meter"]
    names = {item["id"]: item["event_name"] for item in objects(walk, "billing.meter")}
    expect(meter in names, f"The sandbox has no meter {meter}.")
    walk.keep("the meter", meter)
    return f"{product}, {len(prices)} prices (0.25 cents per request), meter {names[meter]}"


def enable_again(walk: Walk) -> str:
    """Press Save again: nothing is made twice."""
    before = {item["id"] for item in objects(walk, "price")}
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Monetization")
    walk.publisher.press("Save", {"enabled": True})
    after = {item["id"] for item in objects(walk, "price")}
    expect(before == after, f"There are new prices: {after - before}.")
    return f"still {len(after)} prices on the account"


STEPS = (
    import_an_api,
    attach_plans,
    publish_the_api,
    refuse_an_account_that_is_none,
    enable_monetization,
    see_product_prices_and_meter,
    enable_again,
)
