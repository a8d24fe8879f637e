"""`flask people` makes those who can sign in."""

import pytest

from portal.cli.people import people


@pytest.fixture
def run(app):
    def run(*arguments):
        return app.test_cli_runner().invoke(people, arguments)

    return run


def printed_password(result):
    assert result.exit_code == 0, result.output
    return result.output.split()[-1]


def test_the_first_administrator_is_made_and_signs_in(run, browser):
    password = printed_password(run("add", "ada", "--role", "admin"))

    assert browser.sign_in("ada", password).location == "/admin/"


def test_a_person_of_another_tenant_brings_the_tenant(run, browser):
    password = printed_password(
        run("add", "Bea@bluewater.example", "--role", "publisher", "--display-name", "Bea")
    )

    assert browser.sign_in("bea@bluewater.example", password).location == "/publisher/"


def test_a_name_is_given_once(run, factories):
    factories.user("dana", "subscriber")

    again = run("add", "dana", "--role", "admin")

    assert again.exit_code == 1
    assert "flask people password dana" in again.output


@pytest.mark.parametrize("name", ["", "two words", "a/b", "dana@", "@bluewater.example"])
def test_what_is_no_name_is_refused_with_a_sentence(run, name):
    refused = run("add", name, "--role", "admin")

    assert refused.exit_code == 1
    assert "is no name" in refused.output


def test_a_new_password_ends_the_old_one_and_every_session(run, browser, factories):
    factories.user("dana", "subscriber")
    browser.sign_in("dana")

    fresh = printed_password(run("password", "dana"))

    browser.get("/devportal/applications", follow=False, expect=303)
    assert browser.sign_in("dana", fresh).location == "/devportal/"
    browser.get("/devportal/applications").submit("Sign out")
    browser.get("/account/sign-in")
    browser.submit("Sign in", {"username": "dana", "password": "open sesame"}, expect=401)


def test_nobody_gets_no_password(run, app):
    refused = run("password", "nobody")

    assert refused.exit_code == 1
    assert "There is nobody called nobody." in refused.output
