"""One set of tables for all blueprints. Importing this package defines every table."""

from portal.models.api import Api, ApiPolicy, Endings, Lifecycle
from portal.models.application import Application, ApplicationKey, ApplicationMember, KeyType
from portal.models.books import Book, BookedInvoice, BookedMovement, BookedPayment
from portal.models.checkout import CheckoutAttempt, CheckoutStatus, Workflow, WorkflowStatus
from portal.models.customer import EngineSubscription, SharedCustomer
from portal.models.drift import Drift, DriftCheck, DriftState
from portal.models.idempotency import IdempotentRequest
from portal.models.identity import ExternalIdentity, IdentityProvider
from portal.models.inbox import InboxEvent, Outcome
from portal.models.notice import Mail, MailState, Notice, NoticeKind
from portal.models.oauth import OAuthClient, OAuthCode, OAuthToken, SigningKey, SystemApp
from portal.models.offer import EnginePrice, Offer, PortalConfiguration
from portal.models.plan_change import PlanChange, PlanChangeState
from portal.models.policy import BillingPlan, MonetizationPlan, Policy, PolicyVersion, QuotaType
from portal.models.refund import Refund, RefundStatus
from portal.models.security import AuditEntry, EndedSession, SignInGuard
from portal.models.source import SourceKind, UsageSource, UsageSourceCount
from portal.models.subscription import (
    Approval,
    Billing,
    Block,
    Facts,
    Status,
    Subscription,
    TimelineEntry,
)
from portal.models.tenant import SUPER_TENANT, Need, Tenant
from portal.models.usage import (
    BatchState,
    GatewayRevision,
    PublishRun,
    QuotaUse,
    UsageBatch,
    UsageBucket,
    UsageEvent,
    UsagePublisher,
    UsageSegment,
    UsageSpool,
    UsageTally,
)
from portal.models.user import ADMIN, PUBLISHER, SUBSCRIBER, User, UserRole

__all__ = [
    "ADMIN",
    "PUBLISHER",
    "SUBSCRIBER",
    "SUPER_TENANT",
    "Api",
    "ApiPolicy",
    "Application",
    "ApplicationKey",
    "ApplicationMember",
    "Approval",
    "AuditEntry",
    "BatchState",
    "Billing",
    "BillingPlan",
    "Block",
    "Book",
    "BookedInvoice",
    "BookedMovement",
    "BookedPayment",
    "CheckoutAttempt",
    "CheckoutStatus",
    "Drift",
    "DriftCheck",
    "DriftState",
    "EndedSession",
    "Endings",
    "EnginePrice",
    "EngineSubscription",
    "ExternalIdentity",
    "Facts",
    "GatewayRevision",
    "IdempotentRequest",
    "IdentityProvider",
    "InboxEvent",
    "KeyType",
    "Lifecycle",
    "Mail",
    "MailState",
    "MonetizationPlan",
    "Need",
    "Notice",
    "NoticeKind",
    "OAuthClient",
    "OAuthCode",
    "OAuthToken",
    "Offer",
    "Outcome",
    "PlanChange",
    "PlanChangeState",
    "Policy",
    "PolicyVersion",
    "PortalConfiguration",
    "PublishRun",
    "QuotaType",
    "QuotaUse",
    "Refund",
    "RefundStatus",
    "SharedCustomer",
    "SignInGuard",
    "SigningKey",
    "SourceKind",
    "Status",
    "Subscription",
    "SystemApp",
    "Tenant",
    "TimelineEntry",
    "UsageBatch",
    "UsageBucket",
    "UsageEvent",
    "UsagePublisher",
    "UsageSegment",
    "UsageSource",
    "UsageSourceCount",
    "UsageSpool",
    "UsageTally",
    "User",
    "UserRole",
    "Workflow",
    "WorkflowStatus",
]
