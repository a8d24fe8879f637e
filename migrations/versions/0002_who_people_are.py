"""Add what signing in needs: codes, keys, refresh families, identity providers, members.

Refresh tokens that were handed out before have no end and are not renewed any more: their
holders ask for a new one, which they must be able to do anyway.
"""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "am_oauth_key",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("kid", types.text_id(64), nullable=False),
        sa.Column("private_key_sealed", sa.Text(), nullable=False),
        sa.Column("public_jwk", sa.JSON(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("retired_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_am_oauth_key")),
        sa.UniqueConstraint("kid", name=op.f("uq_am_oauth_key_kid")),
    )
    op.create_table(
        "am_identity_provider",
        sa.Column("tenant_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("issuer", sa.String(length=2000), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("client_secret_sealed", sa.Text(), nullable=True),
        sa.Column("subject_claim", sa.String(length=255), nullable=False),
        sa.Column("roles_claim", sa.String(length=255), nullable=False),
        sa.Column("role_mapping", sa.JSON(), nullable=False),
        sa.Column("default_roles", sa.JSON(), nullable=False),
        sa.Column("link_accounts", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("tested_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_identity_provider_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_am_identity_provider")),
    )
    op.create_table(
        "am_external_identity",
        sa.Column("identity_id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("issuer", sa.String(length=2000), nullable=False),
        sa.Column("issuer_hash", types.text_id(64), nullable=False),
        sa.Column("subject", types.text_id(255), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("id_token_sealed", sa.Text(), nullable=True),
        sa.Column("last_signed_in_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_external_identity_tenant_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["am_user.user_id"],
            name=op.f("fk_am_external_identity_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("identity_id", name=op.f("pk_am_external_identity")),
        sa.UniqueConstraint(
            "tenant_id",
            "issuer_hash",
            "subject",
            name=op.f("uq_am_external_identity_tenant_id_issuer_hash_subject"),
        ),
    )
    with op.batch_alter_table("am_external_identity", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_external_identity_user_id"), ["user_id"], unique=False
        )

    op.create_table(
        "am_application_member",
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("added_by_id", sa.Integer(), nullable=False),
        sa.Column("added_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["added_by_id"], ["am_user.user_id"], name=op.f("fk_am_application_member_added_by_id")
        ),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["am_application.application_id"],
            name=op.f("fk_am_application_member_application_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["am_user.user_id"],
            name=op.f("fk_am_application_member_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("application_id", "user_id", name=op.f("pk_am_application_member")),
    )
    with op.batch_alter_table("am_application_member", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_application_member_user_id"), ["user_id"], unique=False
        )

    op.create_table(
        "am_oauth_code",
        sa.Column("code_id", sa.Integer(), nullable=False),
        sa.Column("code_hash", types.text_id(64), nullable=False),
        sa.Column("oauth_client_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("family", types.text_id(36), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=True),
        sa.Column("code_challenge", sa.String(length=128), nullable=False),
        sa.Column("authenticated_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["oauth_client_id"],
            ["am_oauth_client.oauth_client_id"],
            name=op.f("fk_am_oauth_code_oauth_client_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["am_user.user_id"], name=op.f("fk_am_oauth_code_user_id")
        ),
        sa.PrimaryKeyConstraint("code_id", name=op.f("pk_am_oauth_code")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_am_oauth_code_code_hash")),
    )
    op.create_table(
        "am_system_apps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", types.text_id(50), nullable=False),
        sa.Column("oauth_client_id", sa.Integer(), nullable=False),
        sa.Column("consumer_secret_sealed", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["oauth_client_id"],
            ["am_oauth_client.oauth_client_id"],
            name=op.f("fk_am_system_apps_oauth_client_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_am_system_apps")),
        sa.UniqueConstraint("name", name=op.f("uq_am_system_apps_name")),
    )
    with op.batch_alter_table("am_oauth_client", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("trusted", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.add_column(sa.Column("application_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("key_type", sa.String(length=20), nullable=True))
        batch_op.alter_column(
            "client_secret_hash", existing_type=sa.VARCHAR(length=255), nullable=True
        )
        batch_op.create_index(
            batch_op.f("ix_am_oauth_client_application_id"), ["application_id"], unique=False
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_am_oauth_client_application_id"),
            "am_application",
            ["application_id"],
            ["application_id"],
            ondelete="CASCADE",
        )

    with op.batch_alter_table("am_oauth_token", schema=None) as batch_op:
        batch_op.add_column(sa.Column("family", types.text_id(36), nullable=True))
        batch_op.add_column(sa.Column("refresh_expires_at", types.UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("refreshed_at", types.UtcDateTime(), nullable=True))
        batch_op.create_index(batch_op.f("ix_am_oauth_token_family"), ["family"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("am_oauth_token", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_am_oauth_token_family"))
        batch_op.drop_column("refreshed_at")
        batch_op.drop_column("refresh_expires_at")
        batch_op.drop_column("family")

    # A public client has no secret, which the column could not hold before.
    op.execute("DELETE FROM am_oauth_client WHERE client_secret_hash IS NULL")
    with op.batch_alter_table("am_oauth_client", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("fk_am_oauth_client_application_id"), type_="foreignkey"
        )
        batch_op.drop_index(batch_op.f("ix_am_oauth_client_application_id"))
        batch_op.alter_column(
            "client_secret_hash", existing_type=sa.VARCHAR(length=255), nullable=False
        )
        batch_op.drop_column("key_type")
        batch_op.drop_column("application_id")
        batch_op.drop_column("trusted")

    op.drop_table("am_system_apps")
    op.drop_table("am_oauth_code")
    op.drop_table("am_application_member")
    op.drop_table("am_external_identity")
    op.drop_table("am_identity_provider")
    op.drop_table("am_oauth_key")
