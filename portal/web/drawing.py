"""How templates draw what is the same again and again: once, instead of each time.

``remembered``   a filter for a macro whose text follows from few plain values: icons, badges
``pattern``      a macro drawn once for a list, with places for what differs in each row
``address_of``   the address of each row of a list, looked up once

What is kept holds nothing of a request but the values that a component was called with, and is
bounded. Everything that is put into a place is escaped, as a template does it.
"""

import re
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from flask import Flask, request, url_for
from flask.templating import Environment
from markupsafe import Markup, escape

#: Around a value's name where it goes in what :func:`pattern` draws. No text has these characters.
_BEGINS, _ENDS = "\ufdd0", "\ufdd1"
#: A number that stands in no address of the portal.
_NUMBER = 2_000_000_011
_MOST = 1024
_PLACE = re.compile(f"{_BEGINS}([a-z_]+){_ENDS}")
#: What may be a value of a component that is remembered: it never changes.
_PLAIN = (str, int, type(None))
#: What a part of a path may hold as it is, as Werkzeug has it.
_SAFE = "!$&'()*+,/:;=@"

Component = Callable[..., Markup]


class PagesEnvironment(Environment):
    """Jinja, with one table of globals for all templates.

    A table for each template would be compared with the others at every import.
    """

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return the environment's globals, below what is given, if anything is."""
        return super().make_globals(d) if d else self.globals


def init_app(app: Flask) -> None:
    """Let templates use the three."""
    app.jinja_env.filters["remembered"] = remembered
    app.jinja_env.globals.update(pattern=pattern, address_of=address_of)


def remembered(component: Component) -> Component:
    """Return a component that is drawn once for the same values; at most 1,024 are kept.

    Only for one whose text follows from its values alone. The same text as a string and as
    markup are two values: the first is escaped.
    """

    @lru_cache(maxsize=_MOST, typed=True)
    def kept(_mount: str, *args: Any, **kwargs: Any) -> Markup:
        return component(*args, **kwargs)

    def drawn(*args: Any, **kwargs: Any) -> Markup:
        for value in (*args, *kwargs.values()):
            if not isinstance(value, _PLAIN):
                return component(*args, **kwargs)
        return kept(_mount(), *args, **kwargs)

    return drawn


def _mount() -> str:
    """Return below which path the portal is mounted, with which every address begins."""
    try:
        return request.root_path
    except RuntimeError:
        # No request: whatever asks for an address fails then.
        return ""


def pattern(component: Any, **fixed: Any) -> Component:
    """Return a function that draws a macro for other values of its arguments, given by name.

    The macro itself is drawn once, now, with a place for each value: it must not ask what a value
    is. A value that differs in its tags is drawn elsewhere and given as markup.

    :param fixed: arguments that are the same each time
    """
    places = {name: f"{_BEGINS}{name}{_ENDS}" for name in component.arguments if name not in fixed}
    drawn = component(**places, **fixed)
    if not isinstance(drawn, Markup):
        raise TypeError("Only what a template draws with escaping makes a pattern.")
    text = _PLACE.sub(r"%(\1)s", str(drawn).replace("%", "%%"))

    def filled(**values: Any) -> Markup:
        # Each value is escaped here, and what stands around them has been drawn by a template.
        return Markup(text % {name: escape(value) for name, value in values.items()})  # noqa: S704

    return filled


def address_of(endpoint: str, name: str, **others: Any) -> Callable[[Any], str]:
    """Return a function from a value of ``name`` to the address, as ``url_for`` writes it.

    In a :func:`pattern`, the value is put in as it is: for ids that no address has to quote.

    :param name: a part of the path
    :param others: what is the same in each of them
    """
    given: dict[str, Any] = {**others, name: _NUMBER}
    before, number, after = url_for(endpoint, **given).partition(str(_NUMBER))
    if not number or "?" in before:
        raise TypeError(f"{name} does not stand in the address of {endpoint}.")

    def address(value: Any) -> str:
        text = str(value)
        part = text if _PLACE.fullmatch(text) else quote(text, safe=_SAFE)
        return f"{before}{part}{after}"

    return address
