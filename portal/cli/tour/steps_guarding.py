"""What guards the portal: slow guesses, one's own password, and the audit log."""

from portal.cli.tour.browser import Browser
from portal.cli.tour.walk import Walk, expect


def guess_a_password(walk: Walk) -> str:
    """Guess a password until the portal looks at no more of them."""
    stranger = Browser(walk.demo.options.portal)
    for _ in range(5):
        stranger.open("/account/sign-in")
        stranger.press("Sign in", {"username": "mallory", "password": "a guess"}, expect=401)
    stranger.open("/account/sign-in")
    page = stranger.press("Sign in", {"username": "mallory", "password": "a guess"}, expect=429)
    expect("Signing in failed too often" in page.words, page.glimpse)
    return "five tries are 401, the sixth is 429, for a name that nobody has"


def keep_the_password(walk: Walk) -> str:
    """Try to change the developer's password without knowing the present one."""
    walk.developer.open("/account/password")
    entered = {"present": "a guess", "new": "four words of mine", "repeated": "four words of mine"}
    page = walk.developer.press("Change password", entered, expect=422)
    expect("This is not the password" in page.words, page.glimpse)
    return "422; it stays as it is"


def read_the_recipe(walk: Walk) -> str:
    """Read how a program publishes usage: this portal's address, and no secret."""
    page = walk.admin.open("/admin/automate")
    address = f"{walk.demo.options.portal}/client-registration/v0.17/register"
    expect(address in page.words, f"The recipe does not name {address}.")
    expect(walk.password("admin") not in page.raw, "The recipe shows the password.")
    return "register, token, publish-usage, status, with this portal's own address"


def read_the_audit_log(walk: Walk) -> str:
    """See in the audit log who changed what."""
    page = walk.admin.open("/admin/audit?act=publisher.monetization")
    expect("Changed the monetization of an API" in page.words, page.glimpse)
    expect("is_monetization_enabled" in page.words, "It does not say what was changed.")
    for secret in (walk.platform_key, walk.demo.webhook_secret, walk.password("admin")):
        expect(not secret or secret not in page.raw, "The audit log shows a secret.")
    return "who, what, from where, before and after; no secret"


def find_no_secret_in_the_logs(walk: Walk) -> str:
    """Look through the logs of all servers for every secret that this tour has used."""
    kept = walk.demo.kept
    secrets = {walk.platform_key, walk.demo.webhook_secret, *kept.passwords.values()}
    secrets |= {platform.secret_key for platform in kept.platforms.values()}
    secrets |= {walk.recall("the token"), walk.recall("the client")[1], *walk.keys()}
    lines = 0
    for server in walk.demo.servers.running:
        log = server.log.read_text(errors="replace")
        lines += log.count("\n")
        for secret in filter(None, secrets):
            expect(secret not in log, f"The log of the {server.name} holds …{secret[-4:]}.")
        for beginning in ("whsec_", "sk_test_", "sk_live_", "-----BEGIN"):
            expect(beginning not in log, f"The log of the {server.name} holds {beginning}….")
    expect(lines > 0, "The servers have written nothing.")
    return f"{len(secrets)} secrets, {lines} lines, none of them"


FIRST = (guess_a_password, keep_the_password)
LAST = (read_the_recipe, read_the_audit_log, find_no_secret_in_the_logs)
