"""From a tenant's choice to a source that can be asked."""

from collections.abc import Collection

from portal.analytics.choreo import ChoreoSettings, ChoreoSource
from portal.analytics.elasticsearch import ElasticsearchSettings, ElasticsearchSource
from portal.analytics.portal import PortalSource
from portal.analytics.source import AnalyticsSource, SourceUnavailable
from portal.errors import NotAllowed, PortalError
from portal.models import UsageSource
from portal.models.source import SourceKind
from portal.services import backends
from portal.vault import SecretUnreadable


def source_of(
    row: UsageSource, allowlist: Collection[str] = (), proxy: str | None = None
) -> AnalyticsSource:
    """Return the source that a tenant has chosen.

    :param allowlist: origins that may be on private addresses, as for back ends
    :raise SourceUnavailable: if a setting does not do, or the address may not be called
    """
    try:
        if row.kind == SourceKind.ELASTICSEARCH:
            return _elasticsearch(row, allowlist, proxy)
        if row.kind == SourceKind.CHOREO:
            return _choreo(row, allowlist, proxy)
    except SecretUnreadable:
        raise SourceUnavailable(
            "A stored secret of the usage source cannot be decrypted. Enter it again."
        ) from None
    return PortalSource()


def elasticsearch_url(host: str, port: str) -> str:
    """Return the address for ``analytics_host``, which may begin with http://, and the port."""
    scheme, _, name = host.rpartition("://")
    return f"{scheme or 'https'}://{name.rstrip('/')}:{port or 9200}"


def _elasticsearch(
    row: UsageSource, allowlist: Collection[str], proxy: str | None
) -> ElasticsearchSource:
    url = elasticsearch_url(row.analytics_host, row.analytics_port)
    _permit(url, allowlist, proxy)
    return ElasticsearchSource(
        ElasticsearchSettings(
            url=url,
            username=row.analytics_username,
            password=row.secret("analytics_password"),
            index=row.analytics_index,
            allowlist=tuple(allowlist),
        )
    )


def _choreo(row: UsageSource, allowlist: Collection[str], proxy: str | None) -> ChoreoSource:
    for url in (row.analytics_query_api_endpoint, row.choreo_token_endpoint):
        if url:
            _permit(url, allowlist, proxy)
    return ChoreoSource(
        ChoreoSettings(
            query_endpoint=row.analytics_query_api_endpoint,
            on_prem_key=row.secret("analytics_access_token"),
            token_endpoint=row.choreo_token_endpoint,
            consumer_key=row.choreo_insight_app_consumer_key,
            consumer_secret=row.secret("choreo_insight_app_consumer_secret"),
            allowlist=tuple(allowlist),
        )
    )


def _permit(url: str, allowlist: Collection[str], proxy: str | None) -> None:
    """Refuse an address inside the operator's network that the operator has not allowed."""
    try:
        if proxy:
            # The proxy looks the name up and decides.
            backends.check_url(url, allowlist)
        else:
            backends.permitted_addresses(url, allowlist)
    except NotAllowed:
        raise SourceUnavailable(
            f"{url} leads into a private network. Ask the operator to add it to BACKEND_ALLOWLIST."
        ) from None
    except PortalError as error:
        raise SourceUnavailable(error.message) from None
    except OSError:
        raise SourceUnavailable(f"The name in {url} is not known. Correct it.") from None
