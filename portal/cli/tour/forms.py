"""What a form on a page sends once it is filled in as a person fills it in: by its labels."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from portal.cli.tour.html import Element

Value = str | bool | Sequence[str]
Pairs = list[tuple[str, str]]
Words = Callable[[Element], str]
CONTROLS = ("input", "select", "textarea")
BUTTONS = ("submit", "button", "reset", "image", "file")


class NotThere(Exception):
    """Something that a person would look for is not on the page; the message lists what is."""


def buttons(root: Element) -> list[Element]:
    """Return what can be pressed on a page."""
    found = root.all("button", "input")
    return [item for item in found if item.tag == "button" or item["type"] in ("submit", "image")]


def caption(button: Element) -> str:
    """Return what stands on a button."""
    return button.words or button["value"] or button["aria-label"]


def form_of(root: Element, button: Element) -> Element:
    """Return the form that a button sends."""
    if button["form"]:
        for form in root.all("form"):
            if form["id"] == button["form"]:
                return form
    around = button.inside("form")
    if around is None:
        raise NotThere(f"The button {caption(button)!r} stands in no form.")
    return around


def controls(root: Element, form: Element) -> list[Element]:
    """Return a form's named controls, also those that name it from elsewhere on the page."""
    return [
        item
        for item in root.all(*CONTROLS)
        if item["name"]
        and "disabled" not in item
        and (item["form"] == form["id"] if item["form"] else item.inside("form") is form)
    ]


def filled_in(root: Element, form: Element, values: Mapping[str, Value]) -> Pairs:
    """Return what the form sends, with `values` by label or by name over what stands in it.

    True and False tick and untick a box; a list ticks exactly these of a group of boxes, or
    chooses these of a list. A choice is named by its words or by its value.

    :raise NotThere: if the form has no such control, or a list no such choice
    """
    found = controls(root, form)
    chosen = {_named(root, found, key): value for key, value in values.items()}
    pairs: Pairs = []
    for name in dict.fromkeys(item["name"] for item in found):
        group = [item for item in found if item["name"] == name]
        if name in chosen:
            pairs += [(name, value) for value in _given(root, group, chosen[name])]
        else:
            pairs += [(name, value) for item in group for value in _standing(item)]
    return pairs


def _named(root: Element, found: Iterable[Element], key: str) -> str:
    if any(item["name"] == key for item in found):
        return key
    labels: list[str] = []
    for item in found:
        label = label_of(root, item)
        if _plain(label) == _plain(key):
            return item["name"]
        labels.append(label or item["name"])
    raise NotThere(f"No field {key!r}; there are {', '.join(dict.fromkeys(labels))}.")


def label_of(root: Element, control: Element) -> str:
    """Return the words of a control's label; for a group of choices, of its legend."""
    around = control.inside("fieldset")
    if control["type"] == "radio" and around is not None:
        legend = around.first("legend")
        if legend is not None:
            return legend.words
    return own_label(root, control)


def own_label(root: Element, control: Element) -> str:
    """Return the words of the label that belongs to this one control."""
    for label in root.all("label"):
        if label["for"] and label["for"] == control["id"]:
            return label.words
    around = control.inside("label")
    return around.words_without(*CONTROLS) if around is not None else control["aria-label"]


def _plain(label: str) -> str:
    words = re.sub(r"\((optional|required)\)|\*", " ", label.lower())
    return " ".join(words.split()).rstrip(" :")


def _standing(item: Element) -> list[str]:
    kind = item["type"]
    if item.tag == "textarea":
        # HTML drops one line break right after the tag.
        return [item.raw.removeprefix("\r\n").removeprefix("\n")]
    if item.tag == "select":
        return _selected(item)
    if kind in BUTTONS:
        return []
    if kind in ("checkbox", "radio"):
        return [item["value"] or "on"] if "checked" in item else []
    return [item["value"]]


def _selected(item: Element) -> list[str]:
    options = list(item.all("option"))
    chosen = [option for option in options if "selected" in option]
    if not chosen and "multiple" not in item:
        chosen = options[:1]
    return [_option_value(option) for option in chosen]


def _option_value(option: Element) -> str:
    return option.value_or(option.words)


def _given(root: Element, group: list[Element], value: Value) -> list[str]:
    first = group[0]
    if first["type"] in ("checkbox", "radio"):
        return _ticked(root, group, value)
    wanted = [str(value)] if isinstance(value, str | bool) else list(value)
    if first.tag == "select":
        options = list(first.all("option"))
        return [_choice(options, item, lambda option: option.words) for item in wanted]
    return wanted


def _ticked(root: Element, group: list[Element], value: Value) -> list[str]:
    if isinstance(value, bool):
        return [group[0]["value"] or "on"] if value else []
    wanted = [value] if isinstance(value, str) else list(value)
    return [_choice(group, item, lambda box: own_label(root, box)) for item in wanted]


def _choice(items: Iterable[Element], wanted: str, words_of: Words) -> str:
    """Return the value of the choice that is meant: by value, by words, or by their beginning."""
    known = [(item.value_or(item.words or "on"), words_of(item)) for item in items]
    for value, words in known:
        if wanted == value or _plain(words) == _plain(wanted):
            return value
    for value, words in known:
        if _plain(words).startswith(f"{_plain(wanted)} "):
            return value
    raise NotThere(
        f"No choice {wanted!r}; there are {', '.join(words or v for v, words in known)}."
    )
