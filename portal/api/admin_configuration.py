"""Admin v4: the tenant's advanced configuration."""

from portal.api import bp, conditions
from portal.api.errors import in_words_of
from portal.api.operation import operation
from portal.api.schemas.configuration import FIELDS, TenantConfig, to_json
from portal.extensions import db
from portal.models import Tenant
from portal.services import setup
from portal.services.scopes import ADMIN_ALL
from portal.web.access import bearer, scope
from portal.web.addresses import defaults
from portal.web.unit_of_work import in_unit_of_work

PATH = "/admin/v4/tenant-config"


@bp.get(PATH)
@scope(ADMIN_ALL)
@operation(answers={200: TenantConfig})
def get_tenant_config() -> TenantConfig:
    """Read the advanced configuration; secrets are masked."""
    return to_json(bearer().tenant, defaults())


@bp.put(PATH)
@scope(ADMIN_ALL)
@operation(body=TenantConfig, answers={200: TenantConfig}, conditional=True, refuses=(409,))
def update_tenant_config(body: TenantConfig, match: str) -> TenantConfig:
    """Change the advanced configuration, all of it or nothing.

    Secrets that are empty or masked stay. A new webhook secret is valid beside the one before.
    """
    tenant_id, known = bearer().tenant_id, defaults()

    def change() -> None:
        tenant = db.session.get_one(Tenant, tenant_id, with_for_update=True)
        conditions.check(match, to_json(tenant, known))
        with in_words_of(FIELDS):
            setup.configure(tenant, body.configuration(), known)

    in_unit_of_work(change)
    return to_json(db.session.get_one(Tenant, tenant_id), known)
