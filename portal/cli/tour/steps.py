"""All steps of the tour, in the order in which they are taken."""

from portal.cli.tour import (
    steps_approving,
    steps_buying,
    steps_checking,
    steps_ending,
    steps_free,
    steps_gateways,
    steps_guarding,
    steps_outages,
    steps_people,
    steps_plans,
    steps_programs,
    steps_publishing,
    steps_renewals,
    steps_sharing,
    steps_usage,
)
from portal.cli.tour.walk import Step

STEPS: tuple[Step, ...] = (
    *steps_people.STEPS,
    *steps_guarding.FIRST,
    *steps_plans.STEPS,
    *steps_publishing.STEPS,
    *steps_buying.STEPS,
    *steps_usage.STEPS,
    *steps_programs.STEPS,
    *steps_gateways.STEPS,
    *steps_sharing.STEPS,
    *steps_renewals.STEPS,
    *steps_ending.STEPS,
    *steps_free.STEPS,
    *steps_approving.STEPS,
    *steps_outages.STEPS,
    *steps_free.CLOSING,
    *steps_guarding.LAST,
    *steps_checking.STEPS,
)
