"""Developer portal v3: the catalogue."""

from portal.api import bp, lists
from portal.api.operation import operation
from portal.api.schemas.apis import (
    ApiSearch,
    DevportalApi,
    DevportalApiList,
    for_developers,
    in_catalogue,
)
from portal.services import catalogue
from portal.services.scopes import SUB_MANAGE, SUBSCRIBE
from portal.web.access import bearer, scope
from portal.web.engines import settings
from portal.web.tenancy import published_api

PATH = "/devportal/v3/apis"
may_read = scope(SUBSCRIBE, SUB_MANAGE)


@bp.get(PATH)
@may_read
@operation(query=ApiSearch, answers={200: DevportalApiList})
def list_catalogue(query: ApiSearch) -> DevportalApiList:
    """List the APIs that you may subscribe to."""
    part = lists.wanted(query)
    page = catalogue.published(bearer(), query.query, part)
    return DevportalApiList(
        count=len(page.items),
        list=[in_catalogue(entry) for entry in page.items],
        pagination=lists.place(part, page),
    )


@bp.get(f"{PATH}/<uuid:api_id>")
@may_read
@operation(answers={200: DevportalApi})
def get_catalogue_api(api_id: str) -> DevportalApi:
    """Read an API with its plans, their prices, and where the gateway answers."""
    found = published_api(bearer(), api_id)
    plans = catalogue.plans_of(found, bearer())
    return for_developers(found, plans, settings().portal_base_url)
