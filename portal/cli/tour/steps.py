"""All steps of the tour, in the order in which they are taken."""

from portal.cli.tour import steps_buying, steps_people, steps_plans
from portal.cli.tour.walk import Step

STEPS: tuple[Step, ...] = (
    *steps_people.STEPS,
    *steps_plans.STEPS,
    *steps_buying.STEPS,
)
