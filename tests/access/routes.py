"""Each route with each of its methods, below the profile that it stands under."""

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
        POST /admin/drift/<int:drift_id>/settle
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
