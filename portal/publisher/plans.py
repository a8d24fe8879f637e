"""Business plans, for publishers: always to be seen, changed where the tenant allows it."""

from uuid import UUID

from werkzeug.wrappers import Response

from portal.errors import NotAllowed
from portal.models import ADMIN
from portal.publisher import bp
from portal.web import plan_pages
from portal.web.access import me, publisher_only


def _may_edit() -> bool:
    return me().tenant.publishers_edit_plans or me().has_role(ADMIN)


def _refuse_unless_allowed() -> None:
    if not _may_edit():
        raise NotAllowed(
            "Plans are looked after by your administrator, who can allow publishers to change "
            "them under Admin > Advanced configuration."
        )


@bp.get("/plans")
@publisher_only
def plans() -> str:
    """List the tenant's plans."""
    return plan_pages.show_plans(may_edit=_may_edit())


@bp.route("/plans/new", methods=["GET", "POST"])
@publisher_only
def new_plan() -> tuple[str, int] | Response:
    """Make a plan."""
    _refuse_unless_allowed()
    return plan_pages.new_plan()


@bp.route("/plans/<uuid:uuid>/edit", methods=["GET", "POST"])
@publisher_only
def edit_plan(uuid: UUID) -> tuple[str, int] | Response:
    """Change a plan."""
    _refuse_unless_allowed()
    return plan_pages.edit_plan(str(uuid))


@bp.route("/plans/<uuid:uuid>/delete", methods=["GET", "POST"])
@publisher_only
def delete_plan(uuid: UUID) -> str | Response:
    """Delete a plan, after asking."""
    _refuse_unless_allowed()
    return plan_pages.delete_plan(str(uuid))
