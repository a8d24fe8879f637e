"""Servers that speak as Elasticsearch and Choreo do, chosen as a tenant's source of usage."""

from datetime import timedelta

from portal import clock
from portal.extensions import db
from portal.models import Subscription, UsageSource
from portal.services import source_settings
from portal.services.source_settings import Wanted
from portal.web.unit_of_work import in_unit_of_work
from tests.support.fake_choreo import KEY, ON_PREM, SECRET, FakeChoreo
from tests.support.fake_elasticsearch import LOGIN, FakeElasticsearch

HOUR = timedelta(hours=1)
MILLISECOND = timedelta(milliseconds=1)


def choose(tenant, **values):
    kind = values.pop("kind")
    wanted = Wanted(kind=kind, values=values)
    in_unit_of_work(
        lambda: source_settings.choose(
            db.session.get_one(type(tenant), tenant.tenant_id),
            wanted,
            ("http://127.0.0.1",),
            since=clock.now(),
        )
    )


class Elastic:
    """Elasticsearch as the tenant's source."""

    def __init__(self, server, tenant):
        self.fake = FakeElasticsearch(server)
        choose(
            tenant,
            kind="elasticsearch",
            analytics_host=self.fake.host,
            analytics_port=self.fake.port,
            analytics_username=LOGIN[0],
            analytics_password=LOGIN[1],
        )

    def add(self, metered, at, times=1, **more):
        self.fake.add(*ids(metered), at, times, **more)


class Choreo:
    """Choreo Insights as the tenant's source."""

    def __init__(self, server, tenant):
        self.fake = FakeChoreo(server)
        choose(
            tenant,
            kind="choreo",
            analytics_query_api_endpoint=url(server, "query"),
            analytics_access_token=ON_PREM,
            choreo_token_endpoint=url(server, "token"),
            choreo_insight_app_consumer_key=KEY,
            choreo_insight_app_consumer_secret=SECRET,
        )

    def add(self, metered, at, times=1):
        self.fake.add(*ids(metered), at, times)


def url(server, path):
    return f"http://127.0.0.1:{server.port}/{path}"


def ids(metered):
    row = db.session.get_one(Subscription, metered.id)
    return row.api.api_uuid, row.application.uuid


def tenant_id():
    found = db.session.query(UsageSource).one().tenant_id
    db.session.rollback()
    return found


def problem():
    db.session.rollback()
    return db.session.query(UsageSource).one().problem
