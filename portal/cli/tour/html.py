"""Reads a page into a small tree: enough to find its words, links, forms and controls."""

from collections.abc import Iterator
from html.parser import HTMLParser

VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
    | {"track", "wbr"}
)
SILENT = frozenset({"script", "style", "template", "head"})
#: Elements that end when one of these begins, as HTML allows.
ENDS: dict[str, frozenset[str]] = {
    "option": frozenset({"option"}),
    "li": frozenset({"li"}),
    "p": frozenset({"p"}),
    "tr": frozenset({"tr", "td", "th"}),
    "td": frozenset({"td", "th"}),
    "th": frozenset({"td", "th"}),
    "dt": frozenset({"dt", "dd"}),
    "dd": frozenset({"dt", "dd"}),
}


class Element:
    """An element with its attributes, its place in the tree and what stands inside it."""

    __slots__ = ("attributes", "children", "parent", "tag")

    def __init__(self, tag: str, attributes: dict[str, str], parent: "Element | None") -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.children: list[Element | str] = []

    def __getitem__(self, name: str) -> str:
        """Return an attribute; empty when there is none."""
        return self.attributes.get(name, "")

    def value_or(self, otherwise: str) -> str:
        """Return the attribute ``value``; HTML says what counts when there is none."""
        return self.attributes.get("value", otherwise)

    def __contains__(self, name: str) -> bool:
        return name in self.attributes

    def all(self, *tags: str) -> Iterator["Element"]:
        """Yield the elements inside with one of these tags, in the page's order."""
        for child in self.children:
            if isinstance(child, Element):
                if not tags or child.tag in tags:
                    yield child
                yield from child.all(*tags)

    def first(self, *tags: str) -> "Element | None":
        """Return the first element inside with one of these tags."""
        return next(self.all(*tags), None)

    def inside(self, tag: str) -> "Element | None":
        """Return the nearest element around this one with this tag."""
        around = self.parent
        while around is not None and around.tag != tag:
            around = around.parent
        return around

    @property
    def raw(self) -> str:
        """The text inside as it stands."""
        return "".join(child if isinstance(child, str) else child.raw for child in self.children)

    @property
    def words(self) -> str:
        """The text that a person reads, in one line."""
        return self.words_without()

    def words_without(self, *tags: str) -> str:
        """Return what a person reads, but for what stands in elements with these tags."""
        return " ".join(" ".join(_visible(self, tags)).split())


def _visible(element: Element, without: tuple[str, ...]) -> Iterator[str]:
    if element.tag in SILENT or element.tag in without:
        return
    for child in element.children:
        if isinstance(child, str):
            yield child
        else:
            yield from _visible(child, without)


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("#document", {}, None)
        self.at = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.at.tag in ENDS.get(tag, ()) and self.at.parent is not None:
            self.at = self.at.parent
            self.handle_starttag(tag, attrs)
            return
        element = self._add(tag, attrs)
        if tag not in VOID:
            self.at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        closing: Element | None = self.at
        while closing is not None and closing.tag != tag:
            closing = closing.parent
        if closing is not None and closing.parent is not None:
            self.at = closing.parent

    def handle_data(self, data: str) -> None:
        self.at.children.append(data)

    def _add(self, tag: str, attrs: list[tuple[str, str | None]]) -> Element:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        return element


def parse(text: str) -> Element:
    """Read a page; what is malformed is taken as well as can be, nothing is refused."""
    builder = _Builder()
    builder.feed(text)
    builder.close()
    return builder.root
