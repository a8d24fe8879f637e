"""Monetization attributes: what a tenant wants to know of every API that is sold.

The administrator configures the list; the publisher enters the values on the API's Monetization
page. ``ConnectedAccountKey`` is always among them: it says who is paid.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portal.errors import Invalid
from portal.models.api import CONNECTED_ACCOUNT
from portal.models.tenant import Tenant

LONGEST_NAME = 80
LONGEST_VALUE = 900
LONGEST_LABEL = 120
LONGEST_DESCRIPTION = 300
MOST = 20
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One value that the tenant wants of every monetized API (WSO2: monetizationAttributes)."""

    name: str
    display_name: str
    required: bool
    description: str = ""


def of_tenant(tenant: Tenant) -> list[Attribute]:
    """Return the attributes that the tenant's administrator configured, in order."""
    return [
        Attribute(
            name=str(item["name"]),
            display_name=str(item.get("display_name") or item["name"]),
            required=bool(item.get("required")),
            description=str(item.get("description") or ""),
        )
        for item in tenant.monetization_attributes
    ]


def stored(attributes: Sequence[Attribute]) -> list[dict[str, Any]]:
    """Return what is stored of a list of attributes.

    :raise portal.errors.Invalid: if a name is wrong or there twice, or the account's is missing
    """
    if len(attributes) > MOST:
        raise Invalid(f"Enter at most {MOST} monetization attributes.")
    names = [attribute.name.strip() for attribute in attributes]
    if len(set(names)) != len(names):
        raise Invalid("Two monetization attributes have the same name.")
    for attribute in attributes:
        _check(attribute)
    account = next((item for item in attributes if item.name.strip() == CONNECTED_ACCOUNT), None)
    if account is None or not account.required:
        raise Invalid(f"The attribute {CONNECTED_ACCOUNT} must stay, and stay required.")
    return [
        {
            "name": attribute.name.strip(),
            "display_name": attribute.display_name.strip() or attribute.name.strip(),
            "required": attribute.required,
            "description": attribute.description.strip(),
        }
        for attribute in attributes
    ]


def _check(attribute: Attribute) -> None:
    name = attribute.name.strip()
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise Invalid(
            f"{name[:LONGEST_NAME] or 'An empty name'} cannot be an attribute's name. Use up to "
            f"{LONGEST_NAME} letters, digits, dots, hyphens and underscores, without spaces."
        )
    if len(attribute.display_name) > LONGEST_LABEL:
        raise Invalid(f"The label of {name} is longer than {LONGEST_LABEL} characters.")
    if len(attribute.description) > LONGEST_DESCRIPTION:
        raise Invalid(f"The description of {name} is longer than {LONGEST_DESCRIPTION} characters.")


def check_values(tenant: Tenant, values: Mapping[str, str]) -> dict[str, str]:
    """Return the values to store for an API; empty ones are left out.

    :raise portal.errors.Invalid: naming every attribute that is missing, unknown or too long
    """
    attributes = {attribute.name: attribute for attribute in of_tenant(tenant)}
    fields = {
        name[:LONGEST_NAME]: "There is no such monetization attribute."
        for name in values
        if name not in attributes
    }
    kept = {name: str(values.get(name) or "").strip() for name in attributes}
    for name, value in kept.items():
        if len(value) > LONGEST_VALUE or not value.isprintable():
            fields[name] = f"Enter at most {LONGEST_VALUE} characters, on one line."
        elif not value and (attributes[name].required or name == CONNECTED_ACCOUNT):
            fields[name] = f"Enter {attributes[name].display_name}."
    if fields:
        raise Invalid(" ".join(fields.values()), fields)
    return {name: value for name, value in kept.items() if value}
