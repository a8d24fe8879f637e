"""Every route says who may call it, and the four product blueprints are there once each."""


def views(app):
    for rule in app.url_map.iter_rules():
        if rule.endpoint != "static":
            yield rule, app.view_functions[rule.endpoint]


def test_every_route_says_who_may_call_it(app):
    silent = {rule.endpoint for rule, view in views(app) if not hasattr(view, "access")}
    assert not silent


def test_the_product_blueprints_are_there_once_each(app):
    for name in ("publisher", "devportal", "admin", "stripe"):
        assert list(app.blueprints).count(name) == 1


def test_admin_pages_are_for_administrators(app):
    for rule, view in views(app):
        if rule.endpoint.startswith("admin."):
            assert view.access == "role:admin", rule


def test_publisher_pages_are_for_publishers(app):
    for rule, view in views(app):
        if rule.endpoint.startswith("publisher."):
            assert view.access == "role:admin,publisher", rule


def test_no_page_of_a_portal_is_public(app):
    for rule, view in views(app):
        if rule.endpoint.startswith(("devportal.", "publisher.", "admin.")):
            assert view.access != "public", rule


def test_a_visitor_is_sent_to_sign_in_from_every_page(app, factories):
    factories.tenant()
    client = app.test_client()
    for rule, view in views(app):
        if "GET" not in rule.methods or not view.access.startswith(("role:", "signed_in")):
            continue
        path = rule.rule
        for argument in rule.arguments:
            for shape in (f"<{argument}>", f"<uuid:{argument}>", f"<int:{argument}>"):
                path = path.replace(shape, "00000000-0000-0000-0000-000000000000"[:36])
        answer = client.get(path)
        assert answer.status_code in (303, 404), (path, answer.status_code)
        if answer.status_code == 303:
            assert answer.headers["Location"].startswith("/account/sign-in")


def test_every_answer_carries_the_security_headers(app, factories):
    factories.tenant()
    client = app.test_client()
    for path in ("/", "/account/sign-in", "/problems/", "/healthz", "/nothing-here"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Referrer-Policy" in headers
