"""How a program does what the pages do."""

from flask import render_template

from portal.devportal import bp
from portal.web import recipes
from portal.web.access import me, subscriber_only
from portal.web.engines import settings


@bp.get("/automate")
@subscriber_only
def automate() -> str:
    """Show a recipe for curl with the reader's own address and name."""
    steps = recipes.of_developers(settings().portal_base_url, me())
    return render_template("partials/automate.html", steps=steps)
