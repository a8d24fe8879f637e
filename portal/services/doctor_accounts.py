"""Checks of the connected accounts that something is sold through."""

from collections.abc import Callable, Iterable

from portal.services.examination import (
    Account,
    Evidence,
    Verdict,
    fault,
    good,
    reminder,
    unasked,
)

_UTC = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Zulu"})


def named(evidence: Evidence) -> Verdict:
    """Every monetized API says who is paid."""
    if evidence.apis_without_account:
        return fault(
            f"No Connect ID is entered for {_some(evidence.apis_without_account)}.",
            "Enter the publisher's acct_… on the Monetization page of the API, and press Save.",
        )
    return good("Every monetized API names the account that is paid.")


def of_accounts(
    bad: Callable[[Account], bool],
    words: str,
    remedy: str,
    fine: str,
    among: Callable[[Evidence], Iterable[Account]],
) -> Callable[[Evidence], Verdict]:
    """Return a check of each connected account."""

    def look(evidence: Evidence) -> Verdict:
        looked_at = list(among(evidence))
        if not looked_at:
            return unasked("Nothing is sold through a connected account yet.")
        wrong = [each.account for each in looked_at if bad(each)]
        return fault(words.format(_some(wrong)), remedy) if wrong else good(fine)

    return look


def timezone(evidence: Evidence) -> Verdict:
    """Billing periods are whole days of the same zone here and there."""
    said = {each.account: each.check.timezone for each in evidence.answering if each.check}
    if not said:
        return unasked("Nothing is sold through a connected account yet.")
    wrong = [account for account, zone in said.items() if zone and zone not in _UTC]
    if wrong:
        return fault(
            f"The time zone of {_some(wrong)} is not UTC, so its days end at other times.",
            "Set it to UTC in Stripe > Settings > Account details of that account.",
        )
    silent = [account for account, zone in said.items() if not zone]
    if silent:
        return reminder(
            f"Stripe does not say the time zone of {_some(silent)}.",
            "Make sure that it is UTC: Stripe > Settings > Account details of that account.",
        )
    return good("The connected accounts' time zone is UTC.")


def rights(evidence: Evidence) -> Verdict:
    """A restricted key has every right that the portal uses."""
    within = {right for each in evidence.answering for right in each.missing_rights}
    missing = sorted(within | set(evidence.missing_rights))
    if missing:
        return fault(
            f"The restricted key may not read {', '.join(missing)}.",
            "Tick these rights, also for connected accounts, in Stripe > Developers > API keys.",
        )
    return good("The key may do what the portal needs.")


def portal_features(evidence: Evidence) -> Verdict:
    """The Customer Portal offers what the portal promises of it."""
    states = {each.account: each.portal for each in evidence.answering if each.portal}
    if not states:
        return unasked("No Customer Portal is set up yet.")
    lacking = {
        account: [
            word
            for word, has in (
                ("be opened", state.is_active),
                ("cancel", state.cancels),
                ("change the card", state.updates_card),
                ("show invoices", state.lists_invoices),
            )
            if not has
        ]
        for account, state in states.items()
    }
    wrong = {account: words for account, words in lacking.items() if words}
    if wrong:
        account, words = next(iter(wrong.items()))
        return fault(
            f"The Customer Portal of {account} does not let people {', '.join(words)}.",
            "Press Save on the Monetization page of one of its APIs, or switch it on in Stripe > "
            "Settings > Billing > Customer portal.",
        )
    return good("The Customer Portal lets people cancel, change the card and see invoices.")


def portal_return(evidence: Evidence) -> Verdict:
    """The Customer Portal leads back to this portal."""
    wrong = [
        each.account
        for each in evidence.answering
        if each.portal and not (each.portal.return_url or "").startswith(evidence.base_url + "/")
    ]
    if wrong:
        return fault(
            f"The Customer Portal of {_some(wrong)} leads people back to another address.",
            "Press Save on the Monetization page of one of its APIs.",
        )
    return good("The Customer Portal leads people back here.")


def _some(names: Iterable[str], most: int = 3) -> str:
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")
