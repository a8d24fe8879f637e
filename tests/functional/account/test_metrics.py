"""What Prometheus may read."""

from pydantic import SecretStr


def test_this_machine_reads_the_counts(app, factories):
    client = app.test_client()
    client.get("/healthz")

    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert 'portal_requests_total{endpoint="account.healthz"' in answer.get_data(as_text=True)


def test_others_do_not(app, factories):
    factories.tenant()
    answer = app.test_client().get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert answer.status_code == 404


def test_with_a_token_only_who_shows_it_does(app, settings):
    wanted = settings.model_copy(update={"metrics_token": SecretStr("a-token-for-monitoring")})
    app.extensions["portal_settings"] = wanted
    client = app.test_client()
    assert client.get("/metrics").status_code == 404
    headers = {"Authorization": "Bearer a-token-for-monitoring"}
    assert client.get("/metrics", headers=headers).status_code == 200


def test_invented_methods_make_no_series_of_their_own(app, factories):
    client = app.test_client()
    client.open("/healthz", method="BREW")
    client.open("/healthz", method="PROPFIND")

    body = client.get("/metrics").get_data(as_text=True)

    assert "BREW" not in body
    assert 'method="OTHER"' in body
