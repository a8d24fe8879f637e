"""Signing in, and the set-up that the demo made."""

from portal.cli.tour import acts
from portal.cli.tour.browser import Browser
from portal.cli.tour.walk import SUPER_TENANT, Walk, expect


def sign_in_as_admin(walk: Walk) -> str:
    """Sign in as the administrator."""
    return f"the admin portal, {acts.sign_in(walk, walk.admin, 'admin').heading!r}"


def sign_in_as_publisher(walk: Walk) -> str:
    """Sign in as the publisher."""
    page = acts.sign_in(walk, walk.publisher, "publisher")
    expect(page.path.startswith("/publisher/"), f"Signing in led to {page.path}.")
    return f"the publisher portal, {page.heading!r}"


def sign_in_as_developer(walk: Walk) -> str:
    """Sign in as the developer."""
    page = acts.sign_in(walk, walk.developer, "developer")
    expect(page.path.startswith("/devportal/"), f"Signing in led to {page.path}.")
    return f"the developer portal, {page.heading!r}"


def refuse_a_wrong_password(walk: Walk) -> str:
    """Try a wrong password and a page that needs another role."""
    visitor = Browser(walk.demo.options.portal)
    visitor.open("/account/sign-in")
    visitor.press("Sign in", {"username": "admin", "password": "wrong"}, expect=401)
    page = visitor.open("/admin/")
    expect("/account/sign-in" in page.path, f"A visitor got to {page.path}.")
    walk.developer.open("/admin/", expect=403)
    return "401; a visitor is sent to sign-in, the developer gets 403"


def see_the_set_up(walk: Walk) -> str:
    """See on the set-up page that the key and the webhook are there."""
    page = walk.admin.open("/admin/").says("webhook")
    secret = walk.demo.webhook_secret
    expect(bool(secret), "The demo's tenant has no webhook secret.")
    expect(secret not in page.raw, "The set-up page shows the whole webhook secret.")
    expect(walk.platform_key not in page.raw, "The set-up page shows the whole platform key.")
    return f"{page.heading!r}; secrets are shown as their last four characters, {secret[-4:]}"


def try_the_key(walk: Walk) -> str:
    """Press Test the key: Stripe says whose it is."""
    walk.admin.open("/admin/")
    page = walk.admin.press("Test the key")
    account = walk.demo.kept.platforms[SUPER_TENANT].account
    expect("The key works" in page.words and account in page.words, page.glimpse)
    return f"it belongs to {account}, in test mode"


STEPS = (
    sign_in_as_admin,
    sign_in_as_publisher,
    sign_in_as_developer,
    refuse_a_wrong_password,
    see_the_set_up,
    try_the_key,
)
