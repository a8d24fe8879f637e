"""Somebody new: made by the administrator, sharing an application, and signed out everywhere."""

import re

from portal.cli.tour import acts
from portal.cli.tour.browser import Browser
from portal.cli.tour.forms import Value
from portal.cli.tour.walk import Walk, expect

NAME, SHOWN, APPLICATION = "dana.tour", "Dana Tour", "Shared app"


def add_a_person(walk: Walk) -> str:
    """Add a person under Admin > People; they sign in with the password that is shown once."""
    walk.admin.open("/admin/people")
    walk.admin.follow("Add person")
    entered = {"username": NAME, "display_name": SHOWN, "roles": ["subscriber"]}
    page = walk.admin.press("Add person", entered)
    found = re.search(r"\b\w{4}-\w{4}-\w{4}-\w{4}\b", page.words)
    expect(found is not None, f"No password is shown: {page.glimpse}")
    password = found[0] if found else ""
    walk.keep("the page of the new person", page.path)
    dana = Browser(walk.demo.options.portal, NAME)
    dana.open("/account/sign-in")
    dana.press("Sign in", {"username": NAME, "password": password}).says("APIs")
    walk.keep("the new person", dana)
    return f"{SHOWN} signs in with the password that was shown once"


def share_an_application(walk: Walk) -> str:
    """Share an application: the other one sees it and makes a key, and may not delete it."""
    place = acts.create_application(walk, APPLICATION)
    walk.developer.open(f"{place}/members")
    walk.developer.press("Add member", {"name": NAME}).says(SHOWN)
    dana: Browser = walk.recall("the new person")
    dana.open("/devportal/applications").says(APPLICATION, "shared by")
    dana.open(place)
    key = acts.shown_key(dana.press("Generate sandbox key"))
    dana.open(f"{place}/delete", expect=403)
    return f"{SHOWN} made the key {key[:12]}…; deleting it is refused with 403"


def sign_a_person_out(walk: Walk) -> str:
    """Sign the person out everywhere: their next request goes to sign-in."""
    walk.admin.open(walk.recall("the page of the new person"))
    walk.admin.press("Sign out everywhere").says("signed out everywhere")
    dana: Browser = walk.recall("the new person")
    page = dana.open("/devportal/applications")
    expect("/account/sign-in" in page.path, f"The session goes on at {page.path}.")
    return "the next request of theirs leads to sign-in"


def refuse_a_provider_that_is_none(walk: Walk) -> str:
    """Name an identity provider that is none: it is asked first, and nobody is locked out."""
    walk.admin.open("/admin/identity-provider")
    wrong: dict[str, Value] = {
        "issuer": walk.demo.options.sandbox,
        "client_id": "portal",
        "enabled": True,
    }
    page = walk.admin.press("Save", wrong, expect=422)
    page.says("Nothing was saved")
    return "it is asked before it is saved, and does not answer as a provider does"


STEPS = (
    add_a_person,
    share_an_application,
    sign_a_person_out,
    refuse_a_provider_that_is_none,
)
