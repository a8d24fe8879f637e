"""Who may call which address: written by hand, and compared with what the routes declare and do.

A profile says for each actor what happens. A route that stands under no profile fails the tests,
and so does a route whose declared rule is not its profile's.
"""

from dataclasses import dataclass

from tests.access.routes import ROUTES

#: Each with the sentence that ``docs/access.md`` says about it.
ACTORS = {
    "visitor": "nobody has signed in, nothing is sent",
    "ended": "a session that was ended, or a token that was revoked",
    "other kind": "a page with a token, REST with a session",
    "no scope": "an administrator's token without any scope; at a page, a person without a role",
    "owner": "subscriber: owns the application and its subscription",
    "member": "subscriber: shares the application",
    "subscriber": "another subscriber of the tenant",
    "publisher": "provides the API",
    "publisher 2": "another publisher of the tenant",
    "admin": "administrator of the tenant",
    "far subscriber": "subscriber of another tenant",
    "far publisher": "publisher of another tenant",
    "far admin": "administrator of another tenant",
}

ADMITTED, SIGN_IN, NO_PROOF, FORBIDDEN, MISSING, CLIENT = "+SUFNC"
#: What a letter stands for.
MEANINGS = {
    ADMITTED: "goes through",
    SIGN_IN: "is sent to sign-in",
    NO_PROOF: "shows nothing that proves who it is",
    FORBIDDEN: "the role, scope or key is not enough",
    MISSING: "as if it were not there",
    CLIENT: "400 or 401 until a program shows its client secret, or a signature",
}


@dataclass(frozen=True)
class Profile:
    """What happens to each actor.

    :param rule: what the routes' decorator must declare; a prefix where it ends in ``*``
    :param cells: a letter for each of :data:`ACTORS`; spaces are for the reader
    """

    rule: str
    cells: str

    def outcome(self, actor: str) -> str:
        """Return the letter of one actor."""
        return self.cells.replace(" ", "")[list(ACTORS).index(actor)]


#                                                visitor, ended, other kind, no scope
#                                                |    owner, member, subscriber
#                                                |    |   publisher, publisher 2, admin
#                                                |    |   |   far: subscriber, publisher, admin
PROFILES = {
    "anybody":                   Profile("public", "++++ +++ +++ +++"),
    "a tenant with an identity provider":
                                 Profile("public", "++++ +++ +++ +++"),
    "an answer that nobody asked for":
                                 Profile("public", "FFFF FFF FFF FFF"),
    "programs that show a secret":
                                 Profile("public", "CCCC CCC CCC CCC"),
    "signed by Stripe":          Profile("signed", "CCCC CCC CCC CCC"),
    "calls with a key":             Profile("key", "UUUU +UF UUU FUU"),
    "calls of a tenant that is not there":
                                    Profile("key", "UUUU NUN UUU NUU"),
    "no such API":                  Profile("key", "NNNN NNN NNN NNN"),
    "whoever has signed in":  Profile("signed_in", "SSS+ +++ +++ +++"),
    "somebody's payment":     Profile("signed_in", "SSSN ++N NNN NNN"),
    # --- pages
    "people":
        Profile("role:admin,publisher,subscriber", "SSSF +++ +++ +++"),
    "a visible API":
        Profile("role:admin,publisher,subscriber", "SSSF +++ +++ NNN"),
    "an own application":
        Profile("role:admin,publisher,subscriber", "SSSF ++N NNN NNN"),
    "an application, its owner":
        Profile("role:admin,publisher,subscriber", "SSSF +FN NNN NNN"),
    "what the owner was told":
        Profile("role:admin,publisher,subscriber", "SSSF +NN NNN NNN"),
    "publishers":      Profile("role:admin,publisher", "SSSF FFF +++ F++"),
    "a provided API":  Profile("role:admin,publisher", "SSSF FFF +N+ FNN"),
    "new plans of publishers":
                       Profile("role:admin,publisher", "SSSF FFF FF+ FF+"),
    "plans of publishers":
                       Profile("role:admin,publisher", "SSSF FFF FF+ FFN"),
    "administrators":            Profile("role:admin", "SSSF FFF FF+ FF+"),
    "the tenant's own":          Profile("role:admin", "SSSF FFF FF+ FFN"),
    # --- programs
    "set-up of the service":  Profile("admin_or_basic", "UUUF FFF FF+ FFF"),
    "state of the service":   Profile("admin_or_basic", "UUUF FFF FF+ FF+"),
    "an administrator's password": Profile("basic:admin", "UUUU UUU UU+ UU+"),
    "REST: who is it":         Profile("scope:openid", "UUUF +++ +++ +++"),
    "REST: subscribers":
        Profile("scope:apim:sub_manage,apim:subscribe", "UUUF +++ +++ +++"),
    "REST: a visible API":
        Profile("scope:apim:sub_manage,apim:subscribe", "UUUF +++ +++ NNN"),
    "REST: an own subscription":
        Profile("scope:apim:sub_manage,apim:subscribe", "UUUF ++N NNN NNN"),
    "REST: applications":
        Profile("scope:apim:app_manage,apim:subscribe", "UUUF +++ +++ +++"),
    "REST: an own application":
        Profile("scope:apim:app_manage,apim:subscribe", "UUUF ++N NNN NNN"),
    "REST: an application, its owner":
        Profile("scope:apim:app_manage,apim:subscribe", "UUUF +FN NNN NNN"),
    "REST: publishers": Profile("scope:apim:*", "UUUF FFF +++ F++"),
    "REST: a provided API": Profile("scope:apim:*", "UUUF FFF +N+ FNN"),
    "REST: administrators": Profile("scope:apim:*", "UUUF FFF FF+ FF+"),
    "REST: the tenant's own": Profile("scope:apim:*", "UUUF FFF FF+ FFN"),
}  # fmt: skip


def lines() -> dict[str, str]:
    """Return the profile of each "METHOD rule"."""
    return {
        line.strip(): profile
        for profile, text in ROUTES.items()
        for line in text.splitlines()
        if line.strip()
    }
