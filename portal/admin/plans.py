"""Business plans, for administrators."""

from uuid import UUID

from werkzeug.wrappers import Response

from portal.admin import bp
from portal.web import plan_pages
from portal.web.access import admin_only


@bp.get("/plans")
@admin_only
def plans() -> str:
    """List the tenant's plans."""
    return plan_pages.show_plans(may_edit=True)


@bp.route("/plans/new", methods=["GET", "POST"])
@admin_only
def new_plan() -> tuple[str, int] | Response:
    """Make a plan."""
    return plan_pages.new_plan()


@bp.route("/plans/<uuid:uuid>/edit", methods=["GET", "POST"])
@admin_only
def edit_plan(uuid: UUID) -> tuple[str, int] | Response:
    """Change a plan."""
    return plan_pages.edit_plan(str(uuid))


@bp.route("/plans/<uuid:uuid>/delete", methods=["GET", "POST"])
@admin_only
def delete_plan(uuid: UUID) -> str | Response:
    """Delete a plan, after asking."""
    return plan_pages.delete_plan(str(uuid))
