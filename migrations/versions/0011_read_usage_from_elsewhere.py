"""Let a tenant's usage be read from Elasticsearch or Choreo.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PLAIN = ("analytics_host", "analytics_username", "choreo_insight_app_consumer_key")
LONG = ("analytics_query_api_endpoint", "choreo_token_endpoint")
SEALED = (
    "analytics_password_sealed",
    "analytics_access_token_sealed",
    "choreo_insight_app_consumer_secret_sealed",
)


def upgrade() -> None:
    """Make the tables of the choice and of what was taken over."""
    op.create_table(
        "am_usage_source",
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("kind", types.text_id(20), nullable=False),
        sa.Column("chosen_at", types.UtcDateTime(), nullable=False),
        sa.Column("read_until", types.UtcDateTime(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("problem_at", types.UtcDateTime(), nullable=True),
        sa.Column("tested_at", types.UtcDateTime(), nullable=True),
        sa.Column("nobody", sa.BigInteger(), nullable=False),
        sa.Column("analytics_port", types.text_id(5), nullable=False),
        sa.Column("analytics_index", types.text_id(), nullable=False),
        *(sa.Column(name, types.text_id(), nullable=False) for name in PLAIN),
        *(sa.Column(name, sa.Text(), nullable=False) for name in LONG),
        *(sa.Column(name, sa.Text(), nullable=True) for name in SEALED),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_usage_source_tenant_id")
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_am_usage_source")),
    )
    op.create_table(
        "am_usage_source_count",
        sa.Column("digest", types.text_id(32), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("kind", types.text_id(32), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_usage_source_count_tenant_id")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_am_usage_source_count")),
    )
    op.create_index(
        "ix_am_usage_source_count_tenant_id_hour", "am_usage_source_count", ["tenant_id", "hour"]
    )


def downgrade() -> None:
    """Drop them; what was read stays in the ledger."""
    op.drop_table("am_usage_source_count")
    op.drop_table("am_usage_source")
