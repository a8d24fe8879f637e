"""Makes the example data. Each piece looks whether it is there, so an interrupted run goes on."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from flask import url_for
from sqlalchemy import select

from portal.cli.demo.keeping import Kept, Platform
from portal.cli.demo.sandbox import SandboxControl
from portal.cli.demo_backend import documents
from portal.cli.examples.data import COMPANIES, Company, Offering, Person, qualified
from portal.cli.processes import StartError
from portal.extensions import db
from portal.flows import monetizing, setting_up
from portal.models import Api, Application, Lifecycle, Policy, Tenant, User
from portal.models.api import CONNECTED_ACCOUNT
from portal.services import accounts, apis, applications, openapi_import, policies
from portal.web.engines import absolute, engine_of, settings
from portal.web.unit_of_work import unit_of_work


@dataclass(frozen=True)
class Filler:
    """What filling needs; ``store`` keeps what was just made, before anything relies on it."""

    kept: Kept
    control: SandboxControl
    backend: str
    store: Callable[[], None]

    def fill(self) -> None:
        """Make everything that is not there yet. Runs inside the app's context of a request.

        :raise StartError: if the sandbox refuses to sell what the examples sell
        """
        for company in COMPANIES:
            platform = self._platform(company)
            with unit_of_work():
                self._people(company, platform)
                self._plans(company)
            self._webhook(company)
            for offering in company.offerings:
                self._offer(company, offering, platform)
            with unit_of_work():
                self._application(company)

    def _platform(self, company: Company) -> Platform:
        """Return the company's accounts in the sandbox: one platform, one for each publisher."""
        platform = self.kept.platforms.get(company.domain)
        if platform is None:
            platform = self.control.create_platform(company.platform)
            self.kept.platforms[company.domain] = platform
            self.store()
        for offering in company.offerings:
            if offering.provider in platform.connected:
                continue
            person = _person(company, offering.provider)
            platform.connected[person.username] = self.control.create_account(
                platform, person.display_name, person.country, person.currency
            )
            self.store()
        return platform

    def _people(self, company: Company, platform: Platform) -> None:
        tenant = _tenant(company)
        if tenant is None:
            tenant = Tenant(tenant_domain=company.domain)
            db.session.add(tenant)
        tenant.platform_key = tenant.platform_key or platform.secret_key
        db.session.flush()
        for person in company.people:
            name = qualified(person, company)
            if accounts.find(name) is None:
                password = self.kept.password(name)
                self.store()
                db.session.add(_user(person, tenant, password))
        db.session.flush()

    def _plans(self, company: Company) -> None:
        tenant = _required(company)
        known = {policy.name for policy in policies.listed(tenant.tenant_id)}
        for draft in company.plans:
            if draft.name not in known:
                policies.create(tenant.tenant_id, draft, actor="command")

    def _webhook(self, company: Company) -> None:
        tenant = _required(company)
        if not tenant.webhook_secrets:
            path = url_for("stripe.webhook", tenantDomain=company.domain)
            address = self.kept.webhook_origin + path
            setting_up.register_webhook(engine_of(tenant), tenant.tenant_id, address)

    def _offer(self, company: Company, offering: Offering, platform: Platform) -> None:
        document = documents(self.backend)[offering.backend]
        account = platform.connected[offering.provider]
        with unit_of_work():
            uuid = self._api(company, offering, document).api_uuid
        tenant = _required(company)
        api = db.session.scalars(select(Api).where(Api.api_uuid == uuid)).one()
        if api.is_monetization_enabled:
            return
        result = monetizing.enable(
            engine_of(tenant),
            uuid,
            {CONNECTED_ACCOUNT: account},
            return_url=absolute(url_for("devportal.home")),
        )
        if not result.is_complete:
            part, reason = result.failed[0]
            raise StartError(f"The example {part} of {company.domain} can't be sold: {reason}")

    def _api(self, company: Company, offering: Offering, document: object) -> Api:
        user = accounts.find(qualified(_person(company, offering.provider), company))
        if user is None:
            raise LookupError(offering.provider)
        imported = openapi_import.read(json.dumps(document).encode())
        draft = apis.draft_of(imported, context=offering.backend)
        found = db.session.scalars(
            select(Api).where(
                Api.tenant_id == user.tenant_id,
                Api.context == draft.context,
                Api.api_version == draft.version,
            )
        ).one_or_none()
        api = found or apis.create(user, draft, settings().backend_allowlist)
        if api.status == Lifecycle.CREATED:
            apis.attach(api, _uuids(user.tenant_id, offering.plans))
            apis.step(api, "publish")
        return api

    def _application(self, company: Company) -> None:
        developer = next(person for person in company.people if person.username == "developer")
        owner = accounts.find(qualified(developer, company))
        if owner is None:
            raise LookupError(developer.username)
        if not db.session.scalars(
            select(Application.application_id).where(Application.owner_id == owner.user_id)
        ).first():
            applications.create(owner, company.application, "The demo's example application.")


def _person(company: Company, username: str) -> Person:
    return next(person for person in company.people if person.username == username)


def _user(person: Person, tenant: Tenant, password: str) -> User:
    user = User(
        tenant_id=tenant.tenant_id,
        username=person.username,
        display_name=person.display_name,
        email=f"{person.username}@{tenant.tenant_domain.replace('carbon.super', 'carbon.example')}",
        password_hash=accounts.hash_password(password),
    )
    user.set_roles({person.role})
    return user


def _tenant(company: Company) -> Tenant | None:
    return db.session.scalars(
        select(Tenant).where(Tenant.tenant_domain == company.domain)
    ).one_or_none()


def _required(company: Company) -> Tenant:
    tenant = _tenant(company)
    if tenant is None:
        raise LookupError(company.domain)
    return tenant


def _uuids(tenant_id: int, names: tuple[str, ...]) -> list[str]:
    found = db.session.scalars(
        select(Policy.uuid).where(
            Policy.tenant_id == tenant_id, Policy.name.in_(names), Policy.deleted_at.is_(None)
        )
    )
    return list(found)
