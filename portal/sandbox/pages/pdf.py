"""A small PDF writer for invoices: A4, Helvetica, text and lines, as many pages as needed.

Only the characters of Windows-1252 can be set with the built-in fonts; others become ``?``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_WIDTH, _HEIGHT = 595, 842
_MARGIN = 56
_BOTTOM = 110
_ROW = 34
# Advance widths of Helvetica for the characters 32 … 126 (Adobe's font metrics), per 1000 units.
_WIDTHS = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
)  # fmt: skip
_OTHER_WIDTH = 556
_COLUMNS = ("Description", "Quantity", "Unit price", "Amount")
_RIGHT_EDGES = (360, 450, _WIDTH - _MARGIN)
_NOTICE = "TEST - made by the payment sandbox. No real money moved."


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is printed; every text is ready for people. Rows: name, period, quantity, unit, sum."""

    seller: str
    number: str
    facts: list[tuple[str, str]]
    billed_to: list[str]
    rows: list[list[str]]
    totals: list[tuple[str, str]]


@dataclass(slots=True)
class _Page:
    commands: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 10,
        bold: bool = False,
        grey: bool = False,
    ) -> None:
        shade = "0.4 g" if grey else "0.1 g"
        font = "F2" if bold else "F1"
        self.commands.append(
            f"BT {shade} /{font} {size} Tf {x:.2f} {y:.2f} Td ({_escaped(text)}) Tj ET"
        )

    def right(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 10,
        bold: bool = False,
        grey: bool = False,
    ) -> None:
        self.text(x - width(text, size), y, text, size=size, bold=bold, grey=grey)

    def rule(self, y: float) -> None:
        self.commands.append(f"0.85 G 0.75 w {_MARGIN} {y:.2f} m {_WIDTH - _MARGIN} {y:.2f} l S")


def width(text: str, size: float) -> float:
    """Return how wide `text` is set in Helvetica, in points."""
    units = sum(
        _WIDTHS[ord(each) - 32] if 32 <= ord(each) <= 126 else _OTHER_WIDTH for each in text
    )
    return units * size / 1000


def shortened(text: str, size: float, room: float) -> str:
    """Return `text`, cut with an ellipsis where it is wider than `room` points."""
    if width(text, size) <= room:
        return text
    while text and width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def invoice(sheet: Sheet) -> bytes:
    """Return an invoice as a PDF file."""
    pages: list[_Page] = []
    page, y = _begin(pages, sheet)
    for row in sheet.rows:
        if y < _BOTTOM:
            page, y = _begin(pages, sheet)
        _row(page, y, row)
        y -= _ROW
    if y < _BOTTOM + 18 * len(sheet.totals):
        page, y = _begin(pages, sheet)
    y -= 6
    for label, amount in sheet.totals:
        last = label == sheet.totals[-1][0]
        page.right(_RIGHT_EDGES[1], y, label, grey=not last)
        page.right(_RIGHT_EDGES[2], y, amount, bold=last)
        y -= 18
    for index, each in enumerate(pages, 1):
        each.text(_MARGIN, 44, _NOTICE, size=8, grey=True)
        each.right(_WIDTH - _MARGIN, 44, f"Page {index} of {len(pages)}", size=8, grey=True)
    return _file([page.commands for page in pages], title=f"Invoice {sheet.number}")


def _begin(pages: list[_Page], sheet: Sheet) -> tuple[_Page, float]:
    page = _Page()
    pages.append(page)
    y = float(_HEIGHT - 72)
    page.text(_MARGIN, y, "Invoice", size=22, bold=True)
    page.right(_WIDTH - _MARGIN, y, shortened(sheet.seller, 12, 300), size=12)
    y -= 32
    if len(pages) == 1:
        y = _head(page, y, sheet)
    page.text(_MARGIN, y, _COLUMNS[0], size=8, grey=True)
    for label, edge in zip(_COLUMNS[1:], _RIGHT_EDGES, strict=True):
        page.right(edge, y, label, size=8, grey=True)
    page.rule(y - 8)
    return page, y - 26


def _head(page: _Page, y: float, sheet: Sheet) -> float:
    for index, (label, value) in enumerate(sheet.facts):
        page.text(_MARGIN, y - 16 * index, label, grey=True)
        page.text(_MARGIN + 60, y - 16 * index, value)
    page.text(320, y, "Billed to", grey=True)
    for index, line in enumerate(sheet.billed_to):
        page.text(380, y - 16 * index, shortened(line, 10, _WIDTH - _MARGIN - 380))
    return y - 16 * max(len(sheet.facts), len(sheet.billed_to)) - 24


def _row(page: _Page, y: float, row: list[str]) -> None:
    name, period, *figures = row
    page.text(_MARGIN, y, shortened(name, 10, 240))
    page.text(_MARGIN, y - 12, period, size=8, grey=True)
    for figure, edge in zip(figures, _RIGHT_EDGES, strict=True):
        page.right(edge, y, figure)
    page.rule(y - 20)


def _escaped(text: str) -> str:
    plain = text.encode("cp1252", "replace").decode("latin-1")
    for special in ("\\", "(", ")"):
        plain = plain.replace(special, "\\" + special)
    return plain.replace("\r", " ").replace("\n", " ")


def _file(pages: list[list[str]], *, title: str) -> bytes:
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>"
    first = 6
    kids = " ".join(f"{first + 2 * index} 0 R" for index in range(len(pages)))
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        font.format("Helvetica"),
        font.format("Helvetica-Bold"),
        f"<< /Title ({_escaped(title)}) /Producer (Payment sandbox) >>",
    ]
    for index, commands in enumerate(pages):
        content = "\n".join(commands)
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_WIDTH} {_HEIGHT}] "
            "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> "
            f"/Contents {first + 2 * index + 1} 0 R >>"
        )
        bodies.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    return _joined(bodies)


def _joined(bodies: list[str]) -> bytes:
    result = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(result))
        result += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(result)
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    count = len(bodies) + 1
    result += f"xref\n0 {count}\n0000000000 65535 f \n{table}".encode("latin-1")
    result += f"trailer\n<< /Size {count} /Root 1 0 R /Info 5 0 R >>\n".encode("latin-1")
    result += f"startxref\n{start}\n%%EOF\n".encode("latin-1")
    return bytes(result)
