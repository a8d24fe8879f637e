"""How templates draw what is the same again and again: once, instead of each time.

``remembered``   a filter for a macro whose text follows from few plain values: icons, badges
``pattern``      a macro drawn once for a list, with places for what differs in each row
``address_of``   the address of each row of a list, looked up once

What is kept holds nothing of a request but the values that a component was called with, and is
bounded. Everything that is put into a place is escaped, as a template does it.
"""

import re
from collections.abc import Callable, Collection, MutableMapping, Sequence
from functools import lru_cache
from operator import attrgetter
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
#: What no address quotes.
_SIMPLE = re.compile(r"[A-Za-z0-9_.~-]*")

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


class Pattern:
    """A macro that was drawn once, with a place for each value that differs."""

    def __init__(self, drawn: Markup, names: Collection[str]) -> None:
        self._places: list[str] = []

        def place(found: re.Match[str]) -> str:
            if found[1] not in names:
                return found[0]
            self._places.append(found[1])
            return "%s"

        self._text = _PLACE.sub(place, str(drawn).replace("%", "%%"))

    def __call__(self, **values: Any) -> Markup:
        """Return what the macro draws for these values."""
        put_in = tuple(escape(values[name]) for name in self._places)
        # Each value is escaped here, and what stands around them has been drawn by a template.
        return Markup(self._text % put_in)  # noqa: S704

    def each(self, items: Sequence[Any], **told: Any) -> Markup:
        """Return what the macro draws for each item, one behind the other.

        A value is the item's attribute of that name, unless something else is told of it: a
        function of that attribute, or the name of another one with a function. A function is
        called once for each value that differs.
        """
        columns = {name: _column(items, name, told.get(name)) for name in set(self._places)}
        rows = zip(*(columns[name] for name in self._places), strict=True)
        return Markup("".join(map(self._text.__mod__, rows)))  # noqa: S704 - as above


def _column(items: Sequence[Any], name: str, told: Any) -> Sequence[str]:
    """Return the value of each item, escaped."""
    attribute, function = told if isinstance(told, tuple) else (name, told)
    values = list(map(attrgetter(attribute), items))
    if function is not None:
        # With its type: the same text as markup is another value.
        keys = list(zip(map(type, values), values, strict=True))
        known = {key: escape(function(key[1])) for key in dict.fromkeys(keys)}
        return [known[key] for key in keys]
    if set(map(type, values)) == {str}:
        # All at once: the mark between them is never escaped, and no text should have it.
        together = str(escape(_BEGINS.join(values))).split(_BEGINS)
        if len(together) == len(values):
            return together
    return list(map(escape, values))


def pattern(component: Any, **fixed: Any) -> Pattern:
    """Return what draws a macro for other values of its arguments, given by name.

    The macro itself is drawn once, now, with a place for each value: it must not ask what a value
    is. A value that differs in its tags is drawn elsewhere and given as markup.

    :param fixed: arguments that are the same each time
    """
    names = [name for name in component.arguments if name not in fixed]
    drawn = component(**{name: f"{_BEGINS}{name}{_ENDS}" for name in names}, **fixed)
    if not isinstance(drawn, Markup):
        raise TypeError("Only what a template draws with escaping makes a pattern.")
    return Pattern(drawn, names)


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
        as_it_is = _SIMPLE.fullmatch(text) or _PLACE.fullmatch(text)
        return f"{before}{text if as_it_is else quote(text, safe=_SAFE)}{after}"

    return address
