"""Looking back: all seven events, other companies, and every page that was opened."""

from portal.cli.tour import acts
from portal.cli.tour.browser import Browser, Page
from portal.cli.tour.html import Element
from portal.cli.tour.walk import Walk, eventually, expect

TYPES = (
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.subscription.deleted",
    "customer.subscription.updated",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
)
NEIGHBOUR = "developer@bluewater.example"


def see_all_seven_events(walk: Walk) -> str:
    """See each of the seven events on the events page, with the status before and after."""
    eventually(lambda: not walk.control.get("/deliveries", state="pending"), "settled deliveries")
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    for kind in TYPES:
        page = walk.admin.open(f"/admin/events?type={kind}")
        found[kind] = [_event(walk, kind, row) for row in _rows(page)]
    missing = [kind for kind, events in found.items() if not any(event[3] for event in events)]
    for kind in TYPES:
        walk.events += dict.fromkeys(event for event in reversed(found[kind]) if event[3])
    expect(not missing, f"Not seen with a status: {', '.join(missing)}.")
    return f"{sum(len(events) for events in found.values())} events of {len(TYPES)} types"


def _rows(page: Page) -> list[Element]:
    return [row for row in page.root.all("tr") if row.first("td") and row.first("a")]


def _event(walk: Walk, kind: str, row: Element) -> tuple[str, str, str, str]:
    link = next(item["href"] for item in row.all("a") if item["href"])
    page = walk.admin.open(link)
    labels = {item.words for item in page.root.all("dt")}
    if "Status" not in labels:
        return (kind, "", "", "")
    before, _, after = page.fact("Status").partition(" → ")
    return (kind, page.fact("Subscription") if "Subscription" in labels else "", before, after)


def see_no_drift(walk: Walk) -> str:
    """Admin > Drift: press Compare now; the portal and Stripe agree."""
    walk.admin.open("/admin/drift")
    walk.admin.press("Compare now")

    def compared() -> bool:
        page = walk.admin.open("/admin/drift")
        return "Not compared yet" not in page.words and "has been going on" not in page.words

    eventually(compared, "the comparison")
    walk.admin.open("/admin/drift").says("The portal and Stripe agree.")
    return "no difference"


def see_nothing_of_others(walk: Walk) -> str:
    """Sign in at the other company: nothing of this one is there."""
    neighbour = Browser(walk.demo.options.portal, "neighbour")
    acts.sign_in(walk, neighbour, NEIGHBOUR)
    page = neighbour.open("/devportal/").says_not(walk.recall("the API's name"))
    neighbour.open(walk.recall("the usage subscription"), expect=404)
    neighbour.open(walk.recall("the application Tour Caller"), expect=404)
    walk.admin.complaints += neighbour.complaints
    apis = sum("/apis/" in link["href"] for link in page.links())
    return f"{apis} API(s) of its own; subscription and application of this one answer 404"


def sign_out(walk: Walk) -> str:
    """Sign out: the pages ask to sign in again."""
    walk.developer.open("/devportal/")
    walk.developer.press("Sign out")
    page = walk.developer.open("/devportal/applications")
    expect("/account/sign-in" in page.path, f"Signed out, {page.path} still opened.")
    return "the applications page asks to sign in"


def find_no_faulty_page(walk: Walk) -> str:
    """Every page that was opened had a title and exactly one h1."""
    browsers = (walk.admin, walk.publisher, walk.developer)
    faults = [fault for browser in browsers for fault in browser.complaints]
    expect(not faults, "; ".join(dict.fromkeys(faults)))
    return f"{sum(browser.pages for browser in browsers)} pages"


STEPS = (see_all_seven_events, see_no_drift, see_nothing_of_others, sign_out, find_no_faulty_page)
