"""Metered usage: meter events, and what Stripe counted of them."""

from datetime import datetime

from stripe.params.billing import MeterEventCreateParams

from portal.billing.engine import UsageReceipt, UsageReport
from portal.billing.stripe.client import Connection, create_once, is_replay, known
from portal.billing.stripe.errors import portal_errors
from portal.billing.stripe.selling import CUSTOMER_IN_PAYLOAD, VALUE_IN_PAYLOAD
from portal.billing.stripe.translate import whole_sum
from portal.clock import epoch
from portal.errors import BillingEngineError

PAGE = 100
_DUPLICATES = frozenset({"duplicate_meter_event", "meter_event_duplicate_identifier"})


class Usage(Connection):
    """Reporting usage to a meter of the publisher's connected account, and reading it back."""

    def report_usage(self, account: str, report: UsageReport) -> UsageReceipt:
        """Send one meter event; its identifier is also the idempotency key.

        Stripe counts it some time after it acknowledged it, for the billing period that holds
        ``timestamp``, which may lie 35 days back and 5 minutes ahead.

        :raise portal.errors.BillingEngineError: also if the identifier came with other values
        """

        def send(used: str) -> UsageReceipt:
            with portal_errors():
                event = self.client.v1.billing.meter_events.create(
                    _event_params(report), self.within(account, used)
                )
            response = event.last_response
            return UsageReceipt(
                identifier=report.identifier,
                duplicate=is_replay(event),
                request_id=response.request_id if response else None,
            )

        try:
            # Nothing to look for: a repeat under a new key is refused by its identifier.
            return create_once(send, lambda: None, report.identifier)
        except BillingEngineError as error:
            if not _is_duplicate(error):
                raise
            return UsageReceipt(
                identifier=report.identifier,
                duplicate=True,
                request_id=error.request_id or None,
            )

    def usage_total(
        self, account: str, *, meter_id: str, customer_id: str, start: datetime, end: datetime
    ) -> int:
        """Return what Stripe counted from ``start`` until before ``end``, both whole minutes."""
        with portal_errors():
            page = self.client.v1.billing.meters.event_summaries.list(
                known(meter_id),
                {
                    "customer": known(customer_id),
                    "start_time": epoch(start),
                    "end_time": epoch(end),
                    "limit": PAGE,
                },
                self.within(account),
            )
            return whole_sum([summary.aggregated_value for summary in page.auto_paging_iter()])


def _event_params(report: UsageReport) -> MeterEventCreateParams:
    return {
        "event_name": report.event_name,
        "payload": {
            CUSTOMER_IN_PAYLOAD: known(report.customer_id),
            VALUE_IN_PAYLOAD: str(report.quantity),
        },
        "identifier": report.identifier,
        "timestamp": epoch(report.timestamp),
    }


def _is_duplicate(error: BillingEngineError) -> bool:
    """Return whether Stripe has the identifier already; its code for it is not documented."""
    words = error.message.lower()
    named = "identifier" in words and ("already" in words or "duplicate" in words)
    return error.engine_code in _DUPLICATES or named
