"""Who may call which address: written by hand, and compared with what the routes declare and do.

A profile says for each actor what happens. A route that stands under no profile fails the tests,
and so does a route whose declared rule is not its profile's.
"""

from dataclasses import dataclass

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

KEYS = (
    "/api/am/devportal/v3/applications/<uuid:application_id>"
    "/api-keys/<any(PRODUCTION, SANDBOX):key_type>"
)
#: Each route with each of its methods, below its profile.
ROUTES = {
    "anybody": """
        GET /
        GET /.well-known/oauth-authorization-server
        GET /.well-known/openid-configuration
        GET /account/nowhere
        GET /account/sign-in
        POST /account/sign-in
        POST /account/sign-out
        GET /api/am/stripe/callback
        GET /api/am/stripe/complete-session
        GET /api/docs
        GET /api/openapi.json
        GET /healthz
        GET /metrics
        GET /oauth2/authorize
        POST /oauth2/authorize
        GET /oauth2/jwks
        GET /problems/
        GET /problems/<slug>
        GET /readyz
    """,
    "a tenant with an identity provider": """
        GET /account/sign-in/<domain>
    """,
    "an answer that nobody asked for": """
        GET /account/sign-in/<domain>/callback
    """,
    "programs that show a secret": """
        POST /oauth2/introspect
        POST /oauth2/revoke
        POST /oauth2/token
    """,
    "signed by Stripe": """
        POST /api/am/stripe/webhook
    """,
    "calls with a key": """
        * /gateway/authorize
        * /gateway/authorize/<rest:resource>
        * /gateway/<context>/<version>
        * /gateway/<context>/<version>/<rest:resource>
    """,
    "no such API": """
        * /gateway/
        * /gateway/<rest:resource>
    """,
    "calls of a tenant that is not there": """
        * /gateway/t/<domain>/<context>/<version>
        * /gateway/t/<domain>/<context>/<version>/<rest:resource>
    """,
    "whoever has signed in": """
        GET /account/password
        POST /account/password
    """,
    "somebody's payment": """
        GET /api/am/stripe/checkout-url
        GET /api/am/stripe/portal-url
    """,
    "people": """
        GET /devportal/
        GET /devportal/applications
        GET /devportal/automate
        GET /devportal/applications/new
        GET /devportal/invoices
        GET /devportal/invoices.csv
        GET /devportal/notices
        POST /devportal/applications/new
    """,
    "a visible API": """
        GET /devportal/apis/<uuid:uuid>
        GET /devportal/apis/<uuid:uuid>/openapi.json
        GET /devportal/apis/<uuid:uuid>/subscribe
    """,
    "an own application": """
        GET /devportal/apis/<uuid:uuid>/subscribe/confirm
        POST /devportal/apis/<uuid:uuid>/subscribe/confirm
        GET /devportal/applications/<uuid:uuid>
        POST /devportal/applications/<uuid:uuid>/keys
        GET /devportal/applications/<uuid:uuid>/keys/<uuid:key_uuid>/regenerate
        POST /devportal/applications/<uuid:uuid>/keys/<uuid:key_uuid>/regenerate
        GET /devportal/applications/<uuid:uuid>/keys/<uuid:key_uuid>/revoke
        POST /devportal/applications/<uuid:uuid>/keys/<uuid:key_uuid>/revoke
        GET /devportal/applications/<uuid:uuid>/members
        POST /devportal/applications/<uuid:uuid>/members/<uuid:member>/remove
        GET /devportal/applications/<uuid:uuid>/subscriptions
        GET /devportal/subscriptions/<uuid:uuid>
        GET /devportal/subscriptions/<uuid:uuid>/invoice
        GET /devportal/subscriptions/<uuid:uuid>/state
        POST /devportal/subscriptions/<uuid:uuid>/keep
        GET /devportal/subscriptions/<uuid:uuid>/plan
        GET /devportal/subscriptions/<uuid:uuid>/plan/<uuid:policy>
        POST /devportal/subscriptions/<uuid:uuid>/plan/<uuid:policy>
        POST /devportal/subscriptions/<uuid:uuid>/plan/stay
        POST /devportal/subscriptions/<uuid:uuid>/try-again
        GET /devportal/subscriptions/<uuid:uuid>/unsubscribe
        POST /devportal/subscriptions/<uuid:uuid>/unsubscribe
        GET /devportal/subscriptions/<uuid:uuid>/usage
        GET /devportal/subscriptions/<uuid:uuid>/usage.csv
    """,
    "an application, its owner": """
        GET /devportal/applications/<uuid:uuid>/delete
        POST /devportal/applications/<uuid:uuid>/delete
        GET /devportal/applications/<uuid:uuid>/edit
        POST /devportal/applications/<uuid:uuid>/edit
        POST /devportal/applications/<uuid:uuid>/members
    """,
    "what the owner was told": """
        GET /devportal/notices/<uuid:uuid>
        POST /devportal/notices/<uuid:uuid>/dismiss
    """,
    "publishers": """
        GET /publisher/
        GET /publisher/apis/import
        GET /publisher/automate
        POST /publisher/apis/import
        GET /publisher/apis/new
        POST /publisher/apis/new
        GET /publisher/plans
        GET /publisher/revenue
        GET /publisher/revenue.csv
        GET /publisher/revenue/invoices
        GET /publisher/revenue/invoices.csv
    """,
    "a provided API": """
        GET /publisher/apis/<uuid:uuid>
        GET /publisher/apis/<uuid:uuid>/edit
        POST /publisher/apis/<uuid:uuid>/edit
        POST /publisher/apis/<uuid:uuid>/lifecycle
        GET /publisher/apis/<uuid:uuid>/monetization
        POST /publisher/apis/<uuid:uuid>/monetization
        GET /publisher/apis/<uuid:uuid>/plans
        POST /publisher/apis/<uuid:uuid>/plans
        GET /publisher/apis/<uuid:uuid>/subscriptions
        GET /publisher/apis/<uuid:uuid>/usage
        GET /publisher/subscriptions/<uuid:uuid>
        POST /publisher/subscriptions/<uuid:uuid>/block
        GET /publisher/subscriptions/<uuid:uuid>/invoice
        GET /publisher/subscriptions/<uuid:uuid>/usage
        GET /publisher/subscriptions/<uuid:uuid>/usage.csv
    """,
    "new plans of publishers": """
        GET /publisher/plans/new
        POST /publisher/plans/new
    """,
    "plans of publishers": """
        GET /publisher/plans/<uuid:uuid>/delete
        POST /publisher/plans/<uuid:uuid>/delete
        GET /publisher/plans/<uuid:uuid>/edit
        POST /publisher/plans/<uuid:uuid>/edit
    """,
    "administrators": """
        GET /admin/
        GET /admin/approvals
        GET /admin/audit
        GET /admin/automate
        GET /admin/check
        GET /admin/configuration
        POST /admin/configuration
        GET /admin/drift
        POST /admin/drift
        GET /admin/events
        GET /admin/identity-provider
        GET /admin/mailbox
        POST /admin/identity-provider
        POST /admin/identity-provider/check
        GET /admin/people
        GET /admin/people/new
        POST /admin/people/new
        GET /admin/plans
        GET /admin/plans/new
        POST /admin/plans/new
        POST /admin/register-webhook
        POST /admin/test-key
        GET /admin/usage
        POST /admin/usage
        POST /admin/usage/failed
        GET /admin/usage/source
        POST /admin/usage/source
        POST /admin/usage/source/test
        GET /admin/usage/subscriptions
    """,
    "the tenant's own": """
        POST /admin/approvals/<uuid:uuid>/approve
        GET /admin/approvals/<uuid:uuid>/reject
        POST /admin/approvals/<uuid:uuid>/reject
        POST /admin/approvals/refunds/<int:number>
        POST /admin/drift/<int:drift_id>
        GET /admin/events/<event_id>
        GET /admin/events/<event_id>/replay
        POST /admin/events/<event_id>/replay
        GET /admin/mailbox/<int:mail_id>
        GET /admin/people/<uuid:uuid>
        POST /admin/people/<uuid:uuid>
        POST /admin/people/<uuid:uuid>/password
        POST /admin/people/<uuid:uuid>/sign-out
        POST /admin/people/<uuid:uuid>/unlock
        GET /admin/plans/<uuid:uuid>/delete
        POST /admin/plans/<uuid:uuid>/delete
        GET /admin/plans/<uuid:uuid>/edit
        POST /admin/plans/<uuid:uuid>/edit
        POST /admin/usage/batches/<int:number>
        GET /admin/usage/subscriptions/<uuid:uuid>
    """,
    "state of the service": """
        GET /api/am/stripe/configure
    """,
    "set-up of the service": """
        POST /api/am/stripe/configure
    """,
    "an administrator's password": """
        POST /api/identity/oauth2/dcr/v1.1/register
        POST /client-registration/v0.17/register
        POST /oauth2/register
    """,
    "REST: who is it": """
        GET /oauth2/userinfo
        POST /oauth2/userinfo
    """,
    "REST: subscribers": """
        GET /api/am/devportal/v3/apis
        GET /api/am/devportal/v3/subscriptions
    """,
    "REST: a visible API": """
        GET /api/am/devportal/v3/apis/<uuid:api_id>
    """,
    "REST: an own subscription": """
        POST /api/am/devportal/v3/subscriptions
        GET /api/am/devportal/v3/subscriptions/<uuid:subscription_id>
        PUT /api/am/devportal/v3/subscriptions/<uuid:subscription_id>
        DELETE /api/am/devportal/v3/subscriptions/<uuid:subscription_id>
        GET /api/am/devportal/v3/subscriptions/<uuid:subscription_id>/access
        POST /api/am/devportal/v3/subscriptions/<uuid:subscription_id>/try-again
        GET /api/am/devportal/v3/subscriptions/<uuid:subscription_id>/usage
    """,
    "REST: applications": """
        GET /api/am/devportal/v3/applications
        POST /api/am/devportal/v3/applications
    """,
    "REST: an own application": f"""
        GET /api/am/devportal/v3/applications/<uuid:application_id>
        GET {KEYS}
        POST {KEYS}/generate
        POST {KEYS}/revoke
    """,
    "REST: an application, its owner": """
        PUT /api/am/devportal/v3/applications/<uuid:application_id>
        DELETE /api/am/devportal/v3/applications/<uuid:application_id>
        POST /api/am/devportal/v3/applications/<uuid:application_id>/generate-keys
    """,
    "REST: publishers": """
        GET /api/am/publisher/v4/apis
        POST /api/am/publisher/v4/apis
        POST /api/am/publisher/v4/apis/import-openapi
    """,
    "REST: a provided API": """
        GET /api/am/publisher/v4/apis/<uuid:api_id>
        PUT /api/am/publisher/v4/apis/<uuid:api_id>
        DELETE /api/am/publisher/v4/apis/<uuid:api_id>
        GET /api/am/publisher/v4/apis/<uuid:api_id>/lifecycle-state
        GET /api/am/publisher/v4/apis/<uuid:api_id>/monetization
        POST /api/am/publisher/v4/apis/<uuid:api_id>/monetize
        GET /api/am/publisher/v4/apis/<uuid:api_id>/revenue
        POST /api/am/publisher/v4/apis/change-lifecycle
        GET /api/am/publisher/v4/subscriptions
        GET /api/am/publisher/v4/subscriptions/<uuid:subscription_id>
        GET /api/am/publisher/v4/subscriptions/<uuid:subscription_id>/usage
        POST /api/am/publisher/v4/subscriptions/block-subscription
        POST /api/am/publisher/v4/subscriptions/change-business-plan
        POST /api/am/publisher/v4/subscriptions/unblock-subscription
    """,
    "REST: administrators": """
        POST /api/am/admin/v4/monetization/publish-usage
        GET /api/am/admin/v4/monetization/publish-usage/status
        GET /api/am/admin/v4/tenant-config
        PUT /api/am/admin/v4/tenant-config
        GET /api/am/admin/v4/throttling/policies/subscription
        POST /api/am/admin/v4/throttling/policies/subscription
        POST /api/am/usage/v1/events
    """,
    "REST: the tenant's own": """
        GET /api/am/admin/v4/throttling/policies/subscription/<uuid:policy_id>
        PUT /api/am/admin/v4/throttling/policies/subscription/<uuid:policy_id>
        DELETE /api/am/admin/v4/throttling/policies/subscription/<uuid:policy_id>
    """,
}  # fmt: skip


def lines() -> dict[str, str]:
    """Return the profile of each "METHOD rule"."""
    return {
        line.strip(): profile
        for profile, text in ROUTES.items()
        for line in text.splitlines()
        if line.strip()
    }
