"""Create every table.

The first version of the portal: there is nothing to convert.
"""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "am_tenant",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("tenant_domain", types.text_id(255), nullable=False),
        sa.Column("platform_key_sealed", sa.Text(), nullable=True),
        sa.Column("webhook_secrets_sealed", sa.Text(), nullable=True),
        sa.Column("webhook_endpoint_id", types.text_id(255), nullable=True),
        sa.Column("webhook_attempt", types.text_id(36), nullable=True),
        sa.Column("platform_account", types.text_id(255), nullable=True),
        sa.Column("key_tested_at", types.UtcDateTime(), nullable=True),
        sa.Column("checkout_success_url", sa.Text(), nullable=True),
        sa.Column("checkout_cancel_url", sa.Text(), nullable=True),
        sa.Column("monetization_attributes", sa.JSON(), nullable=False),
        sa.Column("publishers_edit_plans", sa.Boolean(), nullable=False),
        sa.Column("refused_events", sa.Integer(), nullable=False),
        sa.Column("last_refused_event_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_am_tenant")),
        sa.UniqueConstraint("tenant_domain", name=op.f("uq_am_tenant_tenant_domain")),
    )
    op.create_table(
        "am_policy_subscription",
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("name", types.text_id(60), nullable=False),
        sa.Column("live_name", types.text_id(120), nullable=True),
        sa.Column("display_name", sa.String(length=512), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("quota_type", sa.String(length=25), nullable=False),
        sa.Column("quota", sa.Integer(), nullable=False),
        sa.Column("quota_unit", sa.String(length=10), nullable=True),
        sa.Column("unit_time", sa.Integer(), nullable=False),
        sa.Column("time_unit", sa.String(length=25), nullable=False),
        sa.Column("rate_limit_count", sa.Integer(), nullable=True),
        sa.Column("rate_limit_time_unit", sa.String(length=25), nullable=True),
        sa.Column("custom_attributes", sa.JSON(), nullable=False),
        sa.Column("stop_on_quota_reach", sa.Boolean(), nullable=False),
        sa.Column("billing_plan", sa.String(length=20), nullable=False),
        sa.Column("permission_type", sa.String(length=10), nullable=False),
        sa.Column("permission_roles", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("deleted_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_policy_subscription_tenant_id")
        ),
        sa.PrimaryKeyConstraint("policy_id", name=op.f("pk_am_policy_subscription")),
        sa.UniqueConstraint(
            "tenant_id", "live_name", name=op.f("uq_am_policy_subscription_tenant_id_live_name")
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_policy_subscription_uuid")),
    )
    op.create_table(
        "am_portal_configuration",
        sa.Column("portal_configuration_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("connected_account", types.text_id(255), nullable=False),
        sa.Column("configuration_id", types.text_id(255), nullable=True),
        sa.Column("return_url", sa.String(length=1024), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["am_tenant.tenant_id"],
            name=op.f("fk_am_portal_configuration_tenant_id"),
        ),
        sa.PrimaryKeyConstraint("portal_configuration_id", name=op.f("pk_am_portal_configuration")),
        sa.UniqueConstraint(
            "tenant_id",
            "connected_account",
            name=op.f("uq_am_portal_configuration_tenant_id_connected_account"),
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_portal_configuration_uuid")),
    )
    op.create_table(
        "am_usage_publish_run",
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("started_by", sa.String(length=255), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_usage_publish_run_tenant_id")
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_am_usage_publish_run")),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_usage_publish_run_uuid")),
    )
    with op.batch_alter_table("am_usage_publish_run", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_usage_publish_run_tenant_id"), ["tenant_id"], unique=False
        )

    op.create_table(
        "am_user",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("username", types.text_id(255), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=True),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("session_epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_user_tenant_id")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_am_user")),
        sa.UniqueConstraint("tenant_id", "username", name=op.f("uq_am_user_tenant_id_username")),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_user_uuid")),
    )
    op.create_table(
        "am_workflows",
        sa.Column("wf_id", sa.Integer(), nullable=False),
        sa.Column("wf_reference", types.text_id(255), nullable=False),
        sa.Column("wf_external_reference", types.text_id(255), nullable=False),
        sa.Column("wf_type", sa.String(length=60), nullable=False),
        sa.Column("wf_status", sa.String(length=20), nullable=False),
        sa.Column("wf_status_desc", sa.String(length=1000), nullable=True),
        sa.Column("wf_created_time", types.UtcDateTime(), nullable=False),
        sa.Column("wf_updated_time", types.UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("tenant_domain", types.text_id(255), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_workflows_tenant_id")
        ),
        sa.PrimaryKeyConstraint("wf_id", name=op.f("pk_am_workflows")),
        sa.UniqueConstraint(
            "wf_external_reference", name=op.f("uq_am_workflows_wf_external_reference")
        ),
    )
    with op.batch_alter_table("am_workflows", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_workflows_wf_reference"), ["wf_reference"], unique=False
        )

    op.create_table(
        "am_api",
        sa.Column("api_id", sa.Integer(), nullable=False),
        sa.Column("api_uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("provider_id", sa.Integer(), nullable=False),
        sa.Column("api_name", types.text_id(128), nullable=False),
        sa.Column("api_version", types.text_id(32), nullable=False),
        sa.Column("context", types.text_id(128), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("endpoint_url", sa.Text(), nullable=False),
        sa.Column("sandbox_endpoint_url", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("definition", types.long_text(), nullable=True),
        sa.Column("is_monetization_enabled", sa.Boolean(), nullable=False),
        sa.Column("monetization_properties_sealed", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["am_user.user_id"], name=op.f("fk_am_api_provider_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_api_tenant_id")
        ),
        sa.PrimaryKeyConstraint("api_id", name=op.f("pk_am_api")),
        sa.UniqueConstraint("api_uuid", name=op.f("uq_am_api_api_uuid")),
        sa.UniqueConstraint(
            "tenant_id",
            "api_name",
            "api_version",
            name=op.f("uq_am_api_tenant_id_api_name_api_version"),
        ),
        sa.UniqueConstraint(
            "tenant_id",
            "context",
            "api_version",
            name=op.f("uq_am_api_tenant_id_context_api_version"),
        ),
    )
    op.create_table(
        "am_application",
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("name", types.text_id(128), nullable=False),
        sa.Column("live_name", types.text_id(128), nullable=True),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("deleted_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["am_user.user_id"], name=op.f("fk_am_application_owner_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_application_tenant_id")
        ),
        sa.PrimaryKeyConstraint("application_id", name=op.f("pk_am_application")),
        sa.UniqueConstraint(
            "owner_id", "live_name", name=op.f("uq_am_application_owner_id_live_name")
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_application_uuid")),
    )
    op.create_table(
        "am_monetization_usage_publisher",
        sa.Column("id", types.text_id(100), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=True),
        sa.Column("published_at", types.UtcDateTime(), nullable=True),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("lease_owner", types.text_id(64), nullable=True),
        sa.Column("lease_until", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["am_usage_publish_run.run_id"],
            name=op.f("fk_am_monetization_usage_publisher_run_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["am_tenant.tenant_id"],
            name=op.f("fk_am_monetization_usage_publisher_tenant_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_am_monetization_usage_publisher")),
        sa.UniqueConstraint("tenant_id", name=op.f("uq_am_monetization_usage_publisher_tenant_id")),
    )
    op.create_table(
        "am_oauth_client",
        sa.Column("oauth_client_id", sa.Integer(), nullable=False),
        sa.Column("client_id", types.text_id(64), nullable=False),
        sa.Column("client_secret_hash", sa.String(length=255), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("client_name", sa.String(length=255), nullable=False),
        sa.Column("grant_types", sa.JSON(), nullable=False),
        sa.Column("redirect_uris", sa.JSON(), nullable=False),
        sa.Column("saas_app", sa.Boolean(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["am_user.user_id"], name=op.f("fk_am_oauth_client_owner_id")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_oauth_client_tenant_id")
        ),
        sa.PrimaryKeyConstraint("oauth_client_id", name=op.f("pk_am_oauth_client")),
        sa.UniqueConstraint("client_id", name=op.f("uq_am_oauth_client_client_id")),
    )
    op.create_table(
        "am_policy_version",
        sa.Column("policy_version_id", sa.Integer(), nullable=False),
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("billing_plan", sa.String(length=20), nullable=False),
        sa.Column("monetization_plan", sa.String(length=25), nullable=True),
        sa.Column("fixed_rate", types.DecimalText(), nullable=True),
        sa.Column("price_per_request", types.DecimalText(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("billing_cycle", sa.String(length=15), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"],
            ["am_policy_subscription.policy_id"],
            name=op.f("fk_am_policy_version_policy_id"),
        ),
        sa.PrimaryKeyConstraint("policy_version_id", name=op.f("pk_am_policy_version")),
        sa.UniqueConstraint(
            "policy_id", "number", name=op.f("uq_am_policy_version_policy_id_number")
        ),
    )
    op.create_table(
        "am_user_role",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("role", types.text_id(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["am_user.user_id"],
            name=op.f("fk_am_user_role_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "role", name=op.f("pk_am_user_role")),
    )
    op.create_table(
        "am_api_policy",
        sa.Column("api_id", sa.Integer(), nullable=False),
        sa.Column("policy_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_id"], ["am_api.api_id"], name=op.f("fk_am_api_policy_api_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["policy_id"],
            ["am_policy_subscription.policy_id"],
            name=op.f("fk_am_api_policy_policy_id"),
        ),
        sa.PrimaryKeyConstraint("api_id", "policy_id", name=op.f("pk_am_api_policy")),
    )
    op.create_table(
        "am_application_key",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("key_type", sa.String(length=20), nullable=False),
        sa.Column("key_hash", types.text_id(64), nullable=False),
        sa.Column("prefix", sa.String(length=20), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["am_application.application_id"],
            name=op.f("fk_am_application_key_application_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_am_application_key")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_am_application_key_key_hash")),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_application_key_uuid")),
    )
    with op.batch_alter_table("am_application_key", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_application_key_application_id"), ["application_id"], unique=False
        )

    op.create_table(
        "am_monetization_shared_customers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("api_provider", sa.String(length=255), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("connected_account", types.text_id(255), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("shared_customer_id", types.text_id(255), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["am_application.application_id"],
            name=op.f("fk_am_monetization_shared_customers_application_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["am_tenant.tenant_id"],
            name=op.f("fk_am_monetization_shared_customers_tenant_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_am_monetization_shared_customers")),
        sa.UniqueConstraint(
            "application_id",
            "connected_account",
            "currency",
            name=op.f(
                "uq_am_monetization_shared_customers_application_id_connected_account_currency"
            ),
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_monetization_shared_customers_uuid")),
    )
    op.create_table(
        "am_oauth_token",
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("oauth_client_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("access_token_hash", types.text_id(64), nullable=False),
        sa.Column("refresh_token_hash", types.text_id(64), nullable=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("issued_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["oauth_client_id"],
            ["am_oauth_client.oauth_client_id"],
            name=op.f("fk_am_oauth_token_oauth_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["am_user.user_id"], name=op.f("fk_am_oauth_token_user_id")
        ),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_am_oauth_token")),
        sa.UniqueConstraint("access_token_hash", name=op.f("uq_am_oauth_token_access_token_hash")),
        sa.UniqueConstraint(
            "refresh_token_hash", name=op.f("uq_am_oauth_token_refresh_token_hash")
        ),
    )
    op.create_table(
        "am_policy_plan_mapping",
        sa.Column("mapping_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("api_id", sa.Integer(), nullable=False),
        sa.Column("policy_uuid", types.text_id(36), nullable=False),
        sa.Column("policy_version_id", sa.Integer(), nullable=False),
        sa.Column("connected_account", types.text_id(255), nullable=False),
        sa.Column("product_id", types.text_id(255), nullable=True),
        sa.Column("plan_id", types.text_id(255), nullable=True),
        sa.Column("meter_id", types.text_id(255), nullable=True),
        sa.Column("meter_event_name", types.text_id(100), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("archived_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["api_id"], ["am_api.api_id"], name=op.f("fk_am_policy_plan_mapping_api_id")
        ),
        sa.ForeignKeyConstraint(
            ["policy_uuid"],
            ["am_policy_subscription.uuid"],
            name=op.f("fk_am_policy_plan_mapping_policy_uuid"),
        ),
        sa.ForeignKeyConstraint(
            ["policy_version_id"],
            ["am_policy_version.policy_version_id"],
            name=op.f("fk_am_policy_plan_mapping_policy_version_id"),
        ),
        sa.PrimaryKeyConstraint("mapping_id", name=op.f("pk_am_policy_plan_mapping")),
        sa.UniqueConstraint(
            "api_id",
            "policy_version_id",
            "connected_account",
            name=op.f("uq_am_policy_plan_mapping_api_id_policy_version_id_connected_account"),
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_policy_plan_mapping_uuid")),
    )
    with op.batch_alter_table("am_policy_plan_mapping", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_policy_plan_mapping_policy_uuid"), ["policy_uuid"], unique=False
        )

    op.create_table(
        "am_subscription",
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("api_id", sa.Integer(), nullable=False),
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("policy_version_id", sa.Integer(), nullable=False),
        sa.Column("live_key", types.text_id(64), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("billing", sa.String(length=20), nullable=False),
        sa.Column("publisher_block", sa.String(length=20), nullable=False),
        sa.Column("approval", sa.String(length=20), nullable=False),
        sa.Column("pending_policy_version_id", sa.Integer(), nullable=True),
        sa.Column("end_requested_at", types.UtcDateTime(), nullable=True),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("connected_account", types.text_id(255), nullable=True),
        sa.Column("engine_subscription_id", types.text_id(255), nullable=True),
        sa.Column("engine_status", sa.String(length=30), nullable=True),
        sa.Column("engine_at", sa.BigInteger(), nullable=False),
        sa.Column("refresh_due", sa.Boolean(), nullable=False),
        sa.Column("refresh_failed_at", sa.BigInteger(), nullable=False),
        sa.Column("period_start", types.UtcDateTime(), nullable=True),
        sa.Column("period_end", types.UtcDateTime(), nullable=True),
        sa.Column("cancel_at", types.UtcDateTime(), nullable=True),
        sa.Column("needs_authentication", sa.Boolean(), nullable=False),
        sa.Column("pay_url", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_id"], ["am_api.api_id"], name=op.f("fk_am_subscription_api_id")
        ),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["am_application.application_id"],
            name=op.f("fk_am_subscription_application_id"),
        ),
        sa.ForeignKeyConstraint(
            ["pending_policy_version_id"],
            ["am_policy_version.policy_version_id"],
            name=op.f("fk_am_subscription_pending_policy_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["policy_version_id"],
            ["am_policy_version.policy_version_id"],
            name=op.f("fk_am_subscription_policy_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_subscription_tenant_id")
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_am_subscription")),
        sa.UniqueConstraint(
            "engine_subscription_id", name=op.f("uq_am_subscription_engine_subscription_id")
        ),
        sa.UniqueConstraint("live_key", name=op.f("uq_am_subscription_live_key")),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_subscription_uuid")),
    )
    with op.batch_alter_table("am_subscription", schema=None) as batch_op:
        batch_op.create_index(
            "ix_am_subscription_api_id_ended_at", ["api_id", "ended_at"], unique=False
        )
        batch_op.create_index(
            "ix_am_subscription_application_id_ended_at",
            ["application_id", "ended_at"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_am_subscription_refresh_due"), ["refresh_due"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_am_subscription_tenant_id"), ["tenant_id"], unique=False
        )

    op.create_table(
        "am_monetization",
        sa.Column("monetization_id", sa.Integer(), nullable=False),
        sa.Column("api_id", sa.Integer(), nullable=False),
        sa.Column("tier_name", types.text_id(60), nullable=False),
        sa.Column("stripe_product_id", types.text_id(255), nullable=False),
        sa.Column("stripe_plan_id", types.text_id(255), nullable=False),
        sa.Column("mapping_id", sa.Integer(), nullable=False),
        sa.Column("monetized_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_id"],
            ["am_api.api_id"],
            name=op.f("fk_am_monetization_api_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["mapping_id"],
            ["am_policy_plan_mapping.mapping_id"],
            name=op.f("fk_am_monetization_mapping_id"),
        ),
        sa.PrimaryKeyConstraint("monetization_id", name=op.f("pk_am_monetization")),
        sa.UniqueConstraint(
            "api_id", "tier_name", name=op.f("uq_am_monetization_api_id_tier_name")
        ),
    )
    op.create_table(
        "am_monetization_subscriptions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("am_subscription_id", sa.Integer(), nullable=False),
        sa.Column("subscribed_application_id", sa.Integer(), nullable=False),
        sa.Column("subscribed_api_id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", types.text_id(255), nullable=False),
        sa.Column("shared_customer_id", sa.Integer(), nullable=False),
        sa.Column("mapping_id", sa.Integer(), nullable=False),
        sa.Column("connected_account", types.text_id(255), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("cancelled_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["am_subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_monetization_subscriptions_am_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["mapping_id"],
            ["am_policy_plan_mapping.mapping_id"],
            name=op.f("fk_am_monetization_subscriptions_mapping_id"),
        ),
        sa.ForeignKeyConstraint(
            ["shared_customer_id"],
            ["am_monetization_shared_customers.id"],
            name=op.f("fk_am_monetization_subscriptions_shared_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["subscribed_api_id"],
            ["am_api.api_id"],
            name=op.f("fk_am_monetization_subscriptions_subscribed_api_id"),
        ),
        sa.ForeignKeyConstraint(
            ["subscribed_application_id"],
            ["am_application.application_id"],
            name=op.f("fk_am_monetization_subscriptions_subscribed_application_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["am_tenant.tenant_id"],
            name=op.f("fk_am_monetization_subscriptions_tenant_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_am_monetization_subscriptions")),
        sa.UniqueConstraint(
            "subscription_id", name=op.f("uq_am_monetization_subscriptions_subscription_id")
        ),
    )
    with op.batch_alter_table("am_monetization_subscriptions", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_monetization_subscriptions_am_subscription_id"),
            ["am_subscription_id"],
            unique=False,
        )

    op.create_table(
        "am_quota_use",
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_quota_use_subscription_id"),
        ),
        sa.PrimaryKeyConstraint("subscription_id", "kind", name=op.f("pk_am_quota_use")),
    )
    op.create_table(
        "am_stripe_checkout_sessions",
        sa.Column("attempt_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("session_id", types.text_id(255), nullable=True),
        sa.Column("am_subscription_id", sa.Integer(), nullable=False),
        sa.Column("workflow_reference", types.text_id(255), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("api_uuid", types.text_id(36), nullable=False),
        sa.Column("connected_account", types.text_id(255), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("mapping_id", sa.Integer(), nullable=False),
        sa.Column("success_url", sa.Text(), nullable=False),
        sa.Column("cancel_url", sa.Text(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("checkout_url", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("open_key", types.text_id(36), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["am_subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_stripe_checkout_sessions_am_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["am_monetization_shared_customers.id"],
            name=op.f("fk_am_stripe_checkout_sessions_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["mapping_id"],
            ["am_policy_plan_mapping.mapping_id"],
            name=op.f("fk_am_stripe_checkout_sessions_mapping_id"),
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"],
            ["am_user.user_id"],
            name=op.f("fk_am_stripe_checkout_sessions_subscriber_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["am_tenant.tenant_id"],
            name=op.f("fk_am_stripe_checkout_sessions_tenant_id"),
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_am_stripe_checkout_sessions")),
        sa.UniqueConstraint("open_key", name=op.f("uq_am_stripe_checkout_sessions_open_key")),
        sa.UniqueConstraint("session_id", name=op.f("uq_am_stripe_checkout_sessions_session_id")),
        sa.UniqueConstraint("uuid", name=op.f("uq_am_stripe_checkout_sessions_uuid")),
    )
    with op.batch_alter_table("am_stripe_checkout_sessions", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_stripe_checkout_sessions_am_subscription_id"),
            ["am_subscription_id"],
            unique=False,
        )

    op.create_table(
        "am_stripe_event",
        sa.Column("inbox_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("event_id", types.text_id(255), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("account", types.text_id(255), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("received_at", types.UtcDateTime(), nullable=False),
        sa.Column("payload_zlib", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.String(length=1024), nullable=False),
        sa.Column("status_before", sa.String(length=30), nullable=True),
        sa.Column("status_after", sa.String(length=30), nullable=True),
        sa.Column("am_subscription_id", sa.Integer(), nullable=True),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["am_subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_stripe_event_am_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_stripe_event_tenant_id")
        ),
        sa.PrimaryKeyConstraint("inbox_id", name=op.f("pk_am_stripe_event")),
        sa.UniqueConstraint(
            "tenant_id", "event_id", name=op.f("uq_am_stripe_event_tenant_id_event_id")
        ),
    )
    with op.batch_alter_table("am_stripe_event", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_stripe_event_am_subscription_id"),
            ["am_subscription_id"],
            unique=False,
        )
        batch_op.create_index(
            "ix_am_stripe_event_outcome_next_try_at", ["outcome", "next_try_at"], unique=False
        )

    op.create_table(
        "am_subscription_timeline",
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("move", sa.String(length=40), nullable=False),
        sa.Column("status_before", sa.String(length=30), nullable=True),
        sa.Column("status_after", sa.String(length=30), nullable=False),
        sa.Column("facts_after", sa.JSON(), nullable=False),
        sa.Column("because", sa.String(length=1024), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("stripe_event_id", types.text_id(255), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_subscription_timeline_subscription_id"),
        ),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_am_subscription_timeline")),
    )
    with op.batch_alter_table("am_subscription_timeline", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_subscription_timeline_subscription_id"),
            ["subscription_id"],
            unique=False,
        )

    op.create_table(
        "am_usage_batch",
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("identifier", types.text_id(100), nullable=False),
        sa.Column("connected_account", types.text_id(255), nullable=False),
        sa.Column("engine_customer_id", types.text_id(255), nullable=False),
        sa.Column("meter_event_name", types.text_id(100), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("first_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_at", types.UtcDateTime(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_sent_at", types.UtcDateTime(), nullable=True),
        sa.Column("acknowledged_at", types.UtcDateTime(), nullable=True),
        sa.Column("receipt", types.text_id(255), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("retryable", sa.Boolean(), nullable=False),
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["am_usage_publish_run.run_id"], name=op.f("fk_am_usage_batch_run_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_usage_batch_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_usage_batch_tenant_id")
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_am_usage_batch")),
        sa.UniqueConstraint("identifier", name=op.f("uq_am_usage_batch_identifier")),
    )
    with op.batch_alter_table("am_usage_batch", schema=None) as batch_op:
        batch_op.create_index("ix_am_usage_batch_state", ["tenant_id", "state"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_am_usage_batch_subscription_id"), ["subscription_id"], unique=False
        )

    op.create_table(
        "am_usage_event",
        sa.Column(
            "usage_event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("event_id", types.text_id(255), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("key_type", sa.String(length=20), nullable=False),
        sa.Column("method", sa.String(length=10), nullable=False),
        sa.Column("resource", sa.String(length=255), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["am_usage_batch.batch_id"], name=op.f("fk_am_usage_event_batch_id")
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_usage_event_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_usage_event_tenant_id")
        ),
        sa.PrimaryKeyConstraint("usage_event_id", name=op.f("pk_am_usage_event")),
        sa.UniqueConstraint("event_id", name=op.f("uq_am_usage_event_event_id")),
    )
    with op.batch_alter_table("am_usage_event", schema=None) as batch_op:
        batch_op.create_index(
            "ix_am_usage_event_unclaimed",
            ["subscription_id", "batch_id", "counted", "at"],
            unique=False,
        )


def downgrade() -> None:
    # Dropping a table drops its indexes; MySQL refuses to drop those that a foreign key needs.
    for name in (
        "am_usage_event",
        "am_usage_batch",
        "am_subscription_timeline",
        "am_stripe_event",
        "am_stripe_checkout_sessions",
        "am_quota_use",
        "am_monetization_subscriptions",
        "am_monetization",
        "am_subscription",
        "am_policy_plan_mapping",
        "am_oauth_token",
        "am_monetization_shared_customers",
        "am_application_key",
        "am_api_policy",
        "am_user_role",
        "am_policy_version",
        "am_oauth_client",
        "am_monetization_usage_publisher",
        "am_application",
        "am_api",
        "am_workflows",
        "am_user",
        "am_usage_publish_run",
        "am_portal_configuration",
        "am_policy_subscription",
        "am_tenant",
    ):
        op.drop_table(name)
