"""Templates keep the house rules, and the style guide shows that the components hold together."""

import gzip
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from jinja2 import Environment, FileSystemLoader, nodes

from portal.web.navigation import ITEMS
from tests.conftest import REQUIRE_ALL
from tests.pages import check_html, check_page

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
CHROMIUM = Path("/usr/bin/chromium")
SHARED = ("layouts", "components", "partials")
WEIGHT = 200_000

FILES = sorted(TEMPLATES.rglob("*.html"))
NAMES = [str(path.relative_to(TEMPLATES)) for path in FILES]
every_template = pytest.mark.parametrize("path", FILES, ids=NAMES)


def parse(path: Path) -> nodes.Template:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    return environment.parse(path.read_text(encoding="utf-8"), filename=str(path))


def tool(name: str) -> ModuleType:
    """Load a script of docs/tools, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def icons_in_sprite() -> set[str]:
    sprite = (STATIC / "vendor/icons/icons.svg").read_text(encoding="utf-8")
    return set(re.findall(r'<symbol id="([^"]+)"', sprite))


@every_template
def test_a_template_uses_everything_that_it_imports(path: Path) -> None:
    tree = parse(path)
    imported = {
        name if isinstance(name, str) else name[1]
        for statement in tree.find_all(nodes.FromImport)
        for name in statement.names
    } | {statement.target for statement in tree.find_all(nodes.Import)}
    used = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"}
    assert imported <= used, f"imported for nothing: {sorted(imported - used)}"


@every_template
def test_a_template_refers_only_to_files_that_exist(path: Path) -> None:
    tree = parse(path)
    kinds = (nodes.Extends, nodes.Include, nodes.FromImport, nodes.Import)
    for statement in tree.find_all(kinds):
        wanted = statement.template
        assert isinstance(wanted, nodes.Const), "the name of a template is always written out"
        assert wanted.value in NAMES, wanted.value
    for name in static_files(path):
        assert (STATIC / name).is_file(), name


@every_template
def test_a_template_has_no_inline_code_and_no_unescaped_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle\s*=", text), "style= is stopped by the policy: use a class"
    assert not re.search(r"""\son[a-z]+\s*=\s*["']""", text), "on…= is stopped by the policy"
    assert not re.search(r"<style\b", text)
    for script in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script, script
    filters = {item.name for item in parse(path).find_all(nodes.Filter)}
    assert "safe" not in filters
    assert not list(parse(path).find_all(nodes.ScopedEvalContextModifier)), "autoescape stays on"


@pytest.mark.parametrize(
    "path", [p for p, n in zip(FILES, NAMES, strict=True) if not n.startswith(SHARED)], ids=str
)
def test_a_page_template_stays_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 120, f"{lines} lines: move a part to partials/ or components/"


@every_template
def test_a_template_names_only_icons_of_the_sprite(path: Path) -> None:
    known = icons_in_sprite()
    for call in parse(path).find_all(nodes.Call):
        given = [pair.value for pair in call.kwargs if pair.key in ("icon_name", "icon_after")]
        if isinstance(call.node, nodes.Name) and call.node.name in ("icon", "empty_state"):
            given += call.args[:1]
        names = {item.value for item in given if isinstance(item, nodes.Const)} - {None}
        assert names <= known, f"add to ICONS in docs/tools/vendor.py: {sorted(names - known)}"


def test_the_navigation_names_only_icons_of_the_sprite() -> None:
    used = {icon for items in ITEMS.values() for _, icon, _ in items}
    assert used <= icons_in_sprite()


def test_components_say_what_they_take() -> None:
    for path in (TEMPLATES / "components").glob("*.html"):
        assert path.read_text(encoding="utf-8").startswith("{#"), f"{path.name} has no description"


def test_vendored_files_are_the_recorded_ones() -> None:
    vendor = tool("vendor")
    assert vendor.check() == []
    record = (STATIC / "vendor/VENDOR.md").read_text(encoding="utf-8")
    for target, digest in vendor.table().items():
        assert f"| {target} |" in record
        assert digest in record


def static_files(*paths: Path) -> set[str]:
    """Return the names that templates give to url_for("static", filename=…)."""
    return {
        pair.value.value
        for path in paths
        for call in parse(path).find_all(nodes.Call)
        for pair in call.kwargs
        if pair.key == "filename" and isinstance(pair.value, nodes.Const)
    }


def test_a_page_without_a_chart_stays_light() -> None:
    loaded = static_files(
        TEMPLATES / "layouts/base.html",
        TEMPLATES / "components/shell.html",
        TEMPLATES / "components/icon.html",
    )
    assert {"css/portal.css", "vendor/icons/icons.svg"} <= loaded
    sizes = {name: len(gzip.compress((STATIC / name).read_bytes())) for name in loaded}
    assert sum(sizes.values()) <= WEIGHT, sizes


def test_the_style_sheet_loads_nothing_from_elsewhere() -> None:
    css = (STATIC / "css/portal.css").read_text(encoding="utf-8")
    addresses = re.findall(r"url\(\"?([^\")]+)", css)
    assert addresses
    for address in addresses:
        assert address.startswith(("../", "data:")), address
    assert "@import" not in css


def test_every_component_keeps_the_rules_of_a_page() -> None:
    client = tool("styleguide").create_app().test_client()
    for portal in ("devportal", "publisher", "admin"):
        soup = check_page(client.get(f"/?portal={portal}"))
        assert soup.html is not None
        assert soup.html["data-portal"] == portal


@pytest.mark.parametrize("code", [400, 403, 404, 409, 413, 418, 429, 500, 502, 503])
def test_an_error_page_says_what_happened_and_what_to_press(code: int) -> None:
    soup = check_page(tool("styleguide").create_app().test_client().get(f"/error/{code}"))
    assert str(code) in soup.get_text()
    assert soup.select_one("main .lede p") is not None
    assert soup.select_one('main a.btn[href="/"]') is not None


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("<p>no frame</p>", "does not begin with"),
        ('<label>Name</label><input name="a">', "no label"),
        ('<p id="a"></p><p id="a"></p>', "is used 2 times"),
        ('<form method="post"></form>', "needs one csrf_token"),
        ('<p style="color: red"></p>', "attribute style"),
        ("<button onclick='x()'>Go</button>", "attribute onclick"),
        ("<script>x()</script>", "inline script"),
        ('<script src="https://cdn.example/x.js"></script>', "from another host"),
        ('<script src="//cdn.example/x.js"></script>', "from another host"),
        ('<a href="#gone">Go</a>', "leads nowhere"),
        ('<a href="/x"></a>', "no words"),
        ('<a href="javascript:x()">Go</a>', "javascript address"),
        ('<img src="/static/img/favicon.svg">', "image without alt"),
        ("<fieldset></fieldset>", "no legend"),
        ('<label for="gone">Name</label>', "names no element"),
        ('<form><input type="hidden" name="csrf_token" value="t"></form>', "into the address"),
        ("<form><div><form></form></div></form>", "a form in a form"),
        ("<table></table>", "table without caption"),
        (
            '<div class="card data-table"><table><tbody><tr><td>1</td></tr></tbody></table></div>',
            "cell without data-label",
        ),
    ],
)
def test_the_page_check_finds_what_is_wrong(broken: str, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_html(broken)


@pytest.mark.browser
def test_the_style_guide_is_accessible_in_every_portal_width_and_theme(tmp_path: Path) -> None:
    if not CHROMIUM.exists() and not REQUIRE_ALL:
        pytest.skip("Chromium is not installed")
    script = ROOT / "docs/tools/styleguide.py"
    # The large setting looks at every pair of them: STYLE_GUIDE=all.
    few = [] if os.environ.get("STYLE_GUIDE") == "all" else ["--few"]
    done = subprocess.run(
        [sys.executable, str(script), "--port", "0", "--out", str(tmp_path), *few],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    guide = tool("styleguide")
    assert len(list(tmp_path.glob("*.png"))) == len(guide.FEW if few else guide.VIEWS) > 8
