"""Keep what was answered to requests with an Idempotency-Key."""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "am_idempotent_request",
        sa.Column("idempotent_request_id", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", types.text_id(), nullable=False),
        sa.Column("fingerprint", types.text_id(64), nullable=False),
        sa.Column("made_sealed", types.long_text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer_sealed", types.long_text(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["am_tenant.tenant_id"],
            name=op.f("fk_am_idempotent_request_tenant_id_am_tenant"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["am_user.user_id"],
            name=op.f("fk_am_idempotent_request_user_id_am_user"),
        ),
        sa.PrimaryKeyConstraint("idempotent_request_id", name=op.f("pk_am_idempotent_request")),
        sa.UniqueConstraint(
            "user_id",
            "idempotency_key",
            name=op.f("uq_am_idempotent_request_user_id_idempotency_key"),
        ),
    )
    with op.batch_alter_table("am_idempotent_request", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_am_idempotent_request_created_at"), ["created_at"], unique=False
        )


def downgrade() -> None:
    op.drop_table("am_idempotent_request")
