"""The warning ladder in time: reminders that are due, graces that have run out, trials that end."""

from portal import clock
from portal.extensions import db
from portal.flows import sweeping
from portal.models import Subscription
from portal.services import notices, subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import in_unit_of_work

RAN_OUT = "The time to pay is over and nobody has paid; access stops until somebody does."


def sweep() -> None:
    """Store every notice whose time has come, and block what has had all of them. Each minute.

    May be run by several workers at once and broken off anywhere: a notice is stored once, and
    nothing is blocked in a transaction that does not find all notices stored.
    """
    after = 0
    while page := notices.in_grace(after):
        db.session.rollback()
        for number in page:
            sweeping.alone("graces", number, _one)
        after = page[-1]
    ending = notices.trials_ending(clock.now())
    db.session.rollback()
    for number in ending:
        sweeping.alone("trials", number, _tell)


def _one(number: int) -> None:
    # Somebody may have paid or ended it in the same moment; the next sweep looks again.
    in_unit_of_work(lambda: _climb(_get(number)))


def _tell(number: int) -> None:
    in_unit_of_work(lambda: notices.trial_ending(_get(number)))


def _climb(subscription: Subscription) -> None:
    if notices.remind(subscription):
        subscriptions.make(subscription, Move.RUN_OUT, Cause(because=RAN_OUT, actor="worker"))


def _get(number: int) -> Subscription:
    return db.session.get_one(Subscription, number)
