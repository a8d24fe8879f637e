"""Rows with made-up values, named after the state they are in. Each call commits."""

from decimal import Decimal
from itertools import count
from typing import Any, cast

from argon2 import PasswordHasher

from portal.billing.engine import BillingEngine, MeterSpec, PriceSpec, ProductSpec
from portal.extensions import db
from portal.flows.reconciling.risks import RISKS
from portal.models import (
    Api,
    Application,
    Drift,
    EnginePrice,
    Offer,
    Policy,
    PolicyVersion,
    PortalConfiguration,
    Subscription,
    Tenant,
    User,
    UserRole,
)
from portal.services import subscriptions
from portal.services.subscriptions import Cause

#: Cheap parameters: the real ones cost a fifth of a second for each hash.
_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("open sesame")
_number = count(1)


class Factories:
    """Makes what a test needs and nothing else."""

    def tenant(self, domain: str = "carbon.super", *, key: str = "sk_test_memory_1234") -> Tenant:
        """A tenant with a platform key; the same one again for the same domain."""
        found = db.session.query(Tenant).filter_by(tenant_domain=domain).one_or_none()
        if found is None:
            found = Tenant(tenant_domain=domain)
            found.platform_key = key
            found.webhook_secrets = ["whsec_memory_secret_0001"]
            self.save(found)
        return found

    def user(self, username: str | None = None, *roles: str, tenant: Tenant | None = None) -> User:
        """A person with the password ``open sesame``."""
        name = username or f"person{next(_number)}"
        home = tenant or self.tenant()
        user = User(
            tenant_id=home.tenant_id,
            username=name,
            display_name=name.title(),
            email=f"{name}@example.com",
            password_hash=_HASH,
        )
        user.role_rows = [UserRole(role=role) for role in roles or ("subscriber",)]
        return self.save(user)

    def policy(
        self, name: str | None = None, *, tenant: Tenant | None = None, **more: Any
    ) -> Policy:
        """A free plan of 1,000 requests a minute."""
        home = tenant or self.tenant()
        plan = Policy(
            tenant_id=home.tenant_id,
            name=name or f"Plan{next(_number)}",
            display_name="",
            quota=1000,
            **{"billing_plan": "FREE", **more},
        )
        plan.display_name = plan.name
        plan.versions = [PolicyVersion(number=1, billing_plan=plan.billing_plan)]
        return self.save(plan)

    def fixed_policy(
        self,
        price: str = "9.99",
        currency: str = "USD",
        *,
        name: str | None = None,
        tenant: Tenant | None = None,
        cycle: str = "month",
    ) -> Policy:
        """A plan with a fixed price each cycle."""
        plan = self.policy(name, tenant=tenant, billing_plan="COMMERCIAL")
        version = plan.versions[0]
        version.monetization_plan = "FIXEDRATE"
        version.fixed_rate = Decimal(price)
        version.currency, version.billing_cycle = currency, cycle
        return self.save(plan)

    def dynamic_policy(
        self,
        price: str = "0.0025",
        currency: str = "USD",
        *,
        name: str | None = None,
        tenant: Tenant | None = None,
        cycle: str = "month",
    ) -> Policy:
        """A plan with a price for each request."""
        plan = self.policy(name, tenant=tenant, billing_plan="COMMERCIAL")
        version = plan.versions[0]
        version.monetization_plan = "DYNAMICRATE"
        version.price_per_request = Decimal(price)
        version.currency, version.billing_cycle = currency, cycle
        return self.save(plan)

    def api(
        self,
        name: str | None = None,
        *policies: Policy,
        provider: User | None = None,
        status: str = "PUBLISHED",
        account: str | None = None,
        **more: Any,
    ) -> Api:
        """A published API with these plans attached."""
        who = provider or self.user(None, "publisher")
        title = name or f"Api{next(_number)}"
        api = Api(
            tenant_id=who.tenant_id,
            provider_id=who.user_id,
            api_name=title,
            api_version=more.pop("version", "1.0"),
            context=title.lower(),
            endpoint_url=more.pop("endpoint_url", "http://127.0.0.1:9/"),
            status=status,
            **more,
        )
        api.policies = list(policies)
        self.save(api)
        if account:
            api.monetization_properties = {"ConnectedAccountKey": account}
            self.save(api)
        return api

    def application(self, name: str | None = None, *, owner: User | None = None) -> Application:
        """An application of a developer."""
        who = owner or self.user(None, "subscriber")
        return self.save(
            Application(
                tenant_id=who.tenant_id,
                owner_id=who.user_id,
                name=name or f"App{next(_number)}",
            )
        )

    def subscription(
        self,
        *,
        api: Api | None = None,
        application: Application | None = None,
        policy: Policy | None = None,
        billing: str = "NOT_REQUIRED",
        **more: Any,
    ) -> Subscription:
        """A subscription whose facts are set as given; its history is one line that says so."""
        plan = policy or self.policy()
        target = api or self.api(None, plan)
        app = application or self.application()
        row = Subscription(
            tenant_id=target.tenant_id,
            api_id=target.api_id,
            application_id=app.application_id,
            policy_version_id=plan.current.policy_version_id,
            billing=billing,
            live_key=f"{app.application_id}:{target.api_id}",
            **more,
        )
        subscriptions.begin(row, Cause(because="Made for a test.", actor="test"))
        return self.save(row)

    def offer(self, api: Api, policy: Policy, engine: BillingEngine, account: str) -> Offer:
        """A plan of an API that is for sale, with its product, price and meter at the engine."""
        version = policy.current
        product = f"apim_{api.api_uuid.replace('-', '')}"
        engine.ensure_product(
            account, ProductSpec(product_id=product, name=api.api_name, metadata={}), key=product
        )
        event_name = f"apim_{api.api_uuid[:8]}_{policy.uuid[:8]}"
        meter = None
        if version.is_dynamic:
            spec = MeterSpec(event_name=event_name, display_name=policy.name)
            meter = engine.ensure_meter(account, spec, key=event_name)
        price = PriceSpec(
            product_id=product,
            lookup_key=f"{api.api_uuid}:{version.policy_version_id}",
            nickname=policy.name,
            currency=(version.currency or "").lower(),
            unit_minor=version.unit_minor,
            usage_type=version.usage_type,
            interval=version.billing_cycle or "month",
            meter_id=meter,
            metadata={},
        )
        row = EnginePrice(
            api_id=api.api_id,
            policy_uuid=policy.uuid,
            policy_version_id=version.policy_version_id,
            connected_account=account,
            product_id=product,
            plan_id=engine.ensure_price(account, price, key=price.lookup_key),
            meter_id=meter,
            meter_event_name=event_name if meter else None,
        )
        api.is_monetization_enabled = True
        api.monetization_properties = {"ConnectedAccountKey": account}
        self.save(api)
        self.save(row)
        self._portal_configuration(api.tenant_id, engine, account)
        return self.save(
            Offer(
                api_id=api.api_id,
                tier_name=policy.name,
                stripe_product_id=product,
                stripe_plan_id=row.plan_id,
                mapping_id=row.mapping_id,
            )
        )

    def _portal_configuration(self, tenant_id: int, engine: BillingEngine, account: str) -> None:
        query = db.session.query(PortalConfiguration)
        if query.filter_by(tenant_id=tenant_id, connected_account=account).count():
            return
        home = "http://127.0.0.1:8000/devportal/applications"
        made = engine.ensure_portal_configuration(account, return_url=home, key=f"portal:{account}")
        self.save(
            PortalConfiguration(
                tenant_id=tenant_id,
                connected_account=account,
                configuration_id=made,
                return_url=home,
            )
        )

    def difference(self, kind: str, **more: Any) -> Drift:
        """A difference that a comparison found, of the first tenant."""
        values = {
            "tenant_id": self.tenant().tenant_id,
            "subject": "sub_1",
            "here": "12",
            "there": "10",
            "risk": RISKS[kind].level,
            "danger": RISKS[kind].danger,
            "proposal": "Put it right.",
            "repairable": False,
            "seen_by": 1,
        }
        return cast("Drift", self.save(Drift(kind=kind, **(values | more))))

    def save(self, row: Any) -> Any:
        """Commit a row and return it, readable."""
        db.session.add(row)
        db.session.commit()
        return row
