"""What a subscription's page says: the status in words, what can be pressed, what happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from portal.extensions import db
from portal.models import (
    CheckoutAttempt,
    Subscription,
    TimelineEntry,
)
from portal.services import costs, status_words, usage
from portal.services.decisions import Refusal, Standing, decide
from portal.services.status_words import at

NEWEST = 50


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A subscription, and what people are told about it."""

    subscription: Subscription
    attempt: CheckoutAttempt | None
    """The newest attempt to pay."""
    refusal: Refusal | None
    """Why a production call would be refused now, from the same decision as the gateway's."""

    @property
    def words(self) -> str:
        """The status in plain words; WSO2's name stands beside it."""
        return status_words.words(self.subscription, self.pay_until)

    @property
    def note(self) -> str | None:
        """The words, where they say more than the badge beside them."""
        return None if self.words == status_words.PLAIN else self.words

    @property
    def plan(self) -> str:
        """The name of the plan that was sold, as people know it."""
        return self.subscription.policy_version.policy.display_name

    @property
    def remedy(self) -> str:
        """What to press, for who has the subscription's page open already."""
        if self.refusal is None:
            return ""
        text = self.refusal.remedy.removeprefix("Open the subscription and ")
        return text[0].upper() + text[1:]

    @property
    def pay_until(self) -> datetime | None:
        """Until when the open payment page can be paid."""
        attempt = self.attempt
        row = self.subscription
        waits = row.can_pay or row.can_pay_change
        return attempt.expires_at if attempt and waits and attempt.open_key else None


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One line of the history, as ``components/timeline.html`` shows it."""

    title: str
    time: str
    datetime: str
    detail: str
    actor: str
    icon: str
    tone: str


def of(subscription: Subscription) -> Situation:
    """Describe one subscription."""
    return of_all([subscription])[0]


def of_all(subscriptions: Sequence[Subscription]) -> list[Situation]:
    """Describe several subscriptions with one query."""
    waiting = [row for row in subscriptions if row.can_pay or row.can_pay_change]
    newest = _newest_attempts([row.subscription_id for row in waiting])
    return [
        Situation(
            subscription=row,
            attempt=newest.get(row.subscription_id),
            refusal=decide(
                Standing(
                    facts=row.facts_in_force,
                    api_status=row.api.status,
                    needs_authentication=row.needs_authentication,
                )
            ),
        )
        for row in subscriptions
    ]


def _newest_attempts(ids: Sequence[int]) -> Mapping[int, CheckoutAttempt]:
    if not ids:
        return {}
    rows = db.session.scalars(
        select(CheckoutAttempt)
        .where(CheckoutAttempt.am_subscription_id.in_(ids))
        .order_by(CheckoutAttempt.attempt_id)
    ).unique()
    return {row.am_subscription_id: row for row in rows}


def consumption(subscription: Subscription) -> list[tuple[str, str]]:
    """Say what a subscription has used in the running period, and what that costs so far."""
    summary = usage.current_period(subscription)
    version = subscription.policy_version
    since = f"since {at(summary.start)}" if summary.start else "since the beginning"
    rows = [("Calls counted", f"{summary.counted:,} {since}")]
    cost = costs.rated(version, summary.counted)
    if cost and version.is_dynamic:
        rows.append(("Cost of them", f"{cost.amount}, before tax"))
    if summary.waiting and version.is_dynamic:
        rows.append(("Not sent yet", f"{summary.waiting:,}: the next Publish Usage takes them"))
    rows += [("Not counted", f"{item.calls:,} {item.reason}") for item in summary.not_counted]
    return rows


#: move -> title, icon, tone
_TITLES: dict[str, tuple[str, str, str]] = {
    "SUBSCRIBE": ("Subscribed", "plus", "info"),
    "PAY": ("First payment confirmed", "circle-check", "ok"),
    "LAPSE": ("Not paid in time", "circle-x", "mute"),
    "TRY_AGAIN": ("Another try to pay", "refresh", "info"),
    "FALL_BEHIND": ("Payment failed", "alert-circle", "bad"),
    "GIVE_GRACE": ("Payment failed, access goes on", "clock", "wait"),
    "RUN_OUT": ("Time to pay is over", "alert-circle", "bad"),
    "CATCH_UP": ("Paid, working again", "circle-check", "ok"),
    "GO_PAID": ("The paid plan begins", "circle-check", "ok"),
    "GO_FREE": ("The free plan begins", "replace", "info"),
    "END": ("Ended", "circle-minus", "mute"),
    "BLOCK_ALL": ("Blocked by the publisher", "ban", "bad"),
    "BLOCK_PRODUCTION": ("Production blocked by the publisher", "ban", "bad"),
    "UNBLOCK": ("Unblocked by the publisher", "circle-check", "ok"),
    "APPROVE": ("Approved", "check", "ok"),
    "REJECT": ("Not approved", "circle-x", "bad"),
    "ASK_PLAN_CHANGE": ("Change of plan asked for", "replace", "wait"),
    "SETTLE_PLAN_CHANGE": ("Change of plan settled", "replace", "info"),
    "ASK_END": ("Unsubscribe pressed", "hourglass", "wait"),
    "WITHDRAW_END": ("Stays subscribed", "history", "info"),
    "CANCEL_SCHEDULED": ("Cancelled for later", "clock", "wait"),
    "CANCEL_WITHDRAWN": ("Cancellation withdrawn", "history", "ok"),
    "PAID_AFTER_END": ("Paid after the end", "alert-triangle", "bad"),
    "PAID_TWICE": ("Paid twice", "alert-triangle", "bad"),
    "PAID_UNAPPROVED": ("Paid without approval", "alert-triangle", "bad"),
    "PAID_WHILE_ENDING": ("Paid while it was being ended", "alert-triangle", "bad"),
    "REFUNDED": ("Paid back", "receipt-2", "info"),
}
_ACTORS = {"stripe": "Stripe", "worker": "The portal's worker", "command": "The operator"}


def history(subscription: Subscription) -> list[Happening]:
    """Return what happened to a subscription, newest first, at most the newest fifty lines."""
    entries = db.session.scalars(
        select(TimelineEntry)
        .where(TimelineEntry.subscription_uuid == subscription.uuid)
        .order_by(TimelineEntry.line.desc())
        .limit(NEWEST)
    )
    return [happening(entry) for entry in entries]


def happening(entry: TimelineEntry) -> Happening:
    """Return a line of a timeline as pages show it."""
    plain = entry.move.replace("_", " ").capitalize()
    title, icon, tone = _TITLES.get(entry.move, (plain, "circle-dot", "mute"))
    detail = entry.because
    if entry.status_before and entry.status_before != entry.status_after:
        detail = f"{detail} {entry.status_before}\N{NO-BREAK SPACE}→ {entry.status_after}".strip()
    return Happening(
        title=title,
        time=at(entry.at),
        datetime=entry.at.isoformat(),
        detail=detail,
        actor=_ACTORS.get(entry.actor, entry.actor),
        icon=icon,
        tone=tone,
    )
