"""Business plans over REST, as WSO2's throttling policies."""

import pytest

from portal.extensions import db
from portal.models import Policy
from tests.support import statements

PATH = "/throttling/policies/subscription"
ERROR = {"code", "message", "description", "moreInfo", "error"}


def plan(**more):
    return {
        "policyName": "GoldPaid",
        "description": "For shops",
        "defaultLimit": {
            "type": "REQUESTCOUNTLIMIT",
            "requestCount": {"requestCount": "5000", "timeUnit": "min", "unitTime": "1"},
        },
        "subscriberCount": 0,
        "rateLimitCount": 0,
        "rateLimitTimeUnit": "sec",
        "billingPlan": "COMMERCIAL",
        "stopOnQuotaReach": True,
        "customAttributes": [{"name": "a", "value": "b"}],
        "graphQLMaxComplexity": 0,
        "monetization": {
            "monetizationPlan": "FIXEDRATE",
            "properties": {
                "fixedPrice": "20",
                "pricePerRequest": "",
                "currencyType": "USD",
                "billingCycle": "month",
            },
        },
        "permissions": {"permissionType": "ALLOW", "roles": ["Internal/everyone"]},
        **more,
    }


def priced(**properties):
    price = plan()["monetization"]
    return plan(
        monetization=price | {"properties": price["properties"] | properties},
    )


@pytest.mark.all_databases
def test_the_body_that_wso2s_console_sends_makes_a_plan(admin):
    answer = admin.post(PATH, plan())

    assert answer.status_code == 201, answer.json
    assert answer.headers["Location"] == f"/api/am/admin/v4{PATH}/{answer.json['policyId']}"
    assert answer.json["type"] == "SubscriptionThrottlePolicy"
    assert answer.json["defaultLimit"]["requestCount"] == {
        "requestCount": 5000,
        "timeUnit": "min",
        "unitTime": 1,
    }
    assert answer.json["monetization"]["properties"]["fixedPrice"] == "20.00"
    assert answer.json["permissions"] == {"permissionType": "ALLOW", "roles": ["Internal/everyone"]}
    read = admin.get(f"{PATH}/{answer.json['policyId']}")
    assert read.json == answer.json
    assert read.headers["ETag"] == answer.headers["ETag"]


def test_what_was_read_can_be_sent_back(admin):
    made = admin.post(PATH, plan())
    place = f"{PATH}/{made.json['policyId']}"

    answer = admin.put(place, made.json | {"description": "New"}, made.headers["ETag"])

    assert answer.status_code == 200
    assert answer.json == made.json | {"description": "New"}


def test_nobody_overwrites_what_they_have_not_seen(admin):
    made = admin.post(PATH, plan())
    place = f"{PATH}/{made.json['policyId']}"
    assert admin.put(place, plan(description="One"), made.headers["ETag"]).status_code == 200

    late = admin.put(place, plan(description="Two"), made.headers["ETag"])
    blind = admin.put(place, plan(description="Two"), None)

    assert (late.status_code, blind.status_code) == (412, 428)
    assert set(late.json) == set(blind.json) == ERROR
    assert admin.get(place).json["description"] == "One"
    assert admin.put(place, plan(description="Two"), "*").status_code == 200


def test_a_version_that_is_held_already_is_not_sent_again(admin):
    made = admin.post(PATH, plan())
    place = f"{PATH}/{made.json['policyId']}"

    answer = admin.get(place, headers={"If-None-Match": made.headers["ETag"]})

    assert answer.status_code == 304
    assert answer.data == b""


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (priced(fixedPrice="0"), "monetization.properties.fixedPrice"),
        (priced(fixedPrice="-1"), "monetization.properties.fixedPrice"),
        (priced(fixedPrice="1.001"), "monetization.properties.fixedPrice"),
        (priced(fixedPrice="1e309"), "monetization.properties.fixedPrice"),
        (priced(fixedPrice="NaN"), "monetization.properties.fixedPrice"),
        (priced(fixedPrice="1,00"), "monetization.properties.fixedPrice"),
        (priced(fixedPrice="9223372036854775808"), "monetization.properties.fixedPrice"),
        (priced(fixedPrice="1.5", currencyType="JPY"), "monetization.properties.fixedPrice"),
        (priced(fixedPrice=20), "monetization.properties.fixedPrice"),
        (priced(currencyType="XXX"), "monetization.properties.currencyType"),
        (priced(currencyType="US"), "monetization.properties.currencyType"),
        (priced(billingCycle="decade"), "monetization.properties.billingCycle"),
        (plan(policyName="Gold Paid"), "policyName"),
        (plan(policyName="x" * 61), "policyName"),
        (plan(policyName="<b>"), "policyName"),
        (plan(policyName="   "), "policyName"),
        (plan(policyName="a\x00b"), "policyName"),
        (plan(policyName=None), "policyName"),
        (plan(displayName="a\x00"), "displayName"),
        (plan(defaultLimit={"type": "REQUESTCOUNTLIMIT"}), "defaultLimit"),
        (plan(permissions={"permissionType": "ALLOW", "roles": ["nobody"]}), "permissions.roles"),
    ],
)
def test_a_wrong_plan_is_refused_naming_the_field(admin, body, field):
    answer = admin.post(PATH, body)

    assert answer.status_code == 400
    assert field in {item["code"] for item in answer.json["error"]}
    assert answer.json["moreInfo"].endswith("/problems/rest/invalid")
    assert db.session.query(Policy).count() == 0


@pytest.mark.parametrize("cycle", ["MONTH", "Week"])
def test_spellings_in_another_case_are_understood(admin, cycle):
    body = priced(currencyType="usd", billingCycle=cycle)
    body["monetization"]["monetizationPlan"] = "FixedRate"

    made = admin.post(PATH, body)

    assert made.json["monetization"]["properties"]["billingCycle"] == cycle.lower()
    assert made.json["monetization"]["properties"]["currencyType"] == "USD"


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"policyName": ' + b"1" * 10_000 + b"}", "application/json", 400),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b'{"policyName": "' + b"x" * 2_000_000 + b'"}', "application/json", 413),
    ],
)
def test_a_body_that_is_no_plan_at_all_is_refused(admin, data, kind, status):
    answer = admin("POST", PATH, data=data, content_type=kind)

    assert answer.status_code == status
    assert set(answer.json) == ERROR


@pytest.mark.parametrize("name", ["GoldPaid", "goldpaid"])
def test_a_name_that_is_taken_is_refused(admin, name):
    admin.post(PATH, plan())
    assert admin.post(PATH, plan(policyName=name)).status_code == 400


def test_a_plan_that_nobody_uses_can_be_deleted(admin):
    place = f"{PATH}/{admin.post(PATH, plan()).json['policyId']}"

    stale = admin.delete(place, headers={"If-Match": '"old"'})

    assert stale.status_code == 412
    assert admin.delete(place).status_code == 200
    assert admin.get(place).status_code == 404
    assert admin.delete(place).status_code == 404


def test_a_plan_in_use_stays(admin, on_sale):
    place = f"{PATH}/{on_sale.policies[0].uuid}"
    assert admin.delete(place).status_code == 409
    assert admin.get(place).status_code == 200


def test_another_tenants_plan_is_not_found(admin, factories):
    other = factories.policy("Elsewhere", tenant=factories.tenant("other.example"))
    for method in ("GET", "DELETE"):
        assert admin(method, f"{PATH}/{other.uuid}").status_code == 404
    assert admin.put(f"{PATH}/{other.uuid}", plan()).status_code == 404
    assert admin.get(PATH).json["list"] == []


@pytest.mark.parametrize(
    "ident",
    [
        "1",
        "../",
        "%00",
        "{{7*7}}",
        "x" * 3000,
        "00000000-0000-0000-0000-00000000000",
        "' OR 1=1 --",
    ],
)
def test_nonsense_for_an_identifier_is_not_found(admin, ident):
    answer = admin.get(f"{PATH}/{ident}")
    assert answer.status_code == 404
    assert set(answer.json) == ERROR


def test_lists_come_in_parts_that_lead_to_one_another(admin, factories):
    for number in range(5):
        factories.policy(f"Plan-{number}")

    first = admin.get(f"{PATH}?limit=2").json
    middle = admin.get(f"{PATH}?limit=2&offset=2").json

    assert [item["policyName"] for item in first["list"]] == ["Plan-0", "Plan-1"]
    assert first["count"] == 2
    assert first["pagination"] == {
        "offset": 0,
        "limit": 2,
        "total": 5,
        "next": f"{PATH}?limit=2&offset=2",
        "previous": "",
    }
    assert admin.get(first["pagination"]["next"]).json == middle
    assert middle["pagination"]["previous"] == f"{PATH}?limit=2&offset=0"
    assert admin.get(f"{PATH}?offset=5").json["list"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=1e9", "limit=101", "limit=1&limit=2", "offset=-1", "offset=x"],
)
def test_a_part_that_cannot_be_is_refused(admin, query):
    assert admin.get(f"{PATH}?{query}").status_code == 400


def test_a_long_list_costs_no_more_statements(admin, factories):
    for number in range(5):
        factories.policy(f"Few-{number}")
    few = statements.count(lambda: admin.get(f"{PATH}?limit=5"))
    for number in range(45):
        factories.policy(f"Many-{number}")

    assert statements.count(lambda: admin.get(f"{PATH}?limit=50")) == few


def test_the_scope_decides(app, factories, admin):
    from tests.support.rest import Rest

    person = factories.user("reader", "admin")
    reader = Rest(app, person, "admin/v4", "apim:admin_tier_view")

    assert reader.get(PATH).status_code == 200
    refused = reader.post(PATH, plan())
    assert refused.status_code == 403
    assert refused.json["code"] == 900910
