"""The direction of imports, and who may do what. See docs/decisions/0004-layers.md."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PORTAL = ROOT / "portal"
EDGES = ("publisher", "devportal", "admin", "stripe", "account", "oauth", "api", "gateway", "cli")
EDGE_NAMES = tuple(f"portal.{edge}" for edge in EDGES)

#: layer -> what its modules must not import
FORBIDDEN = {
    "models": ("flask", "stripe", "portal.services", "portal.web", "portal.flows", *EDGE_NAMES),
    "services": ("flask", "stripe", "portal.web", "portal.flows", *EDGE_NAMES),
    "analytics": ("flask", "stripe", "portal.web", "portal.flows", *EDGE_NAMES),
    "billing": ("flask", "portal.services", "portal.web", "portal.flows", *EDGE_NAMES),
    "flows": ("flask", "stripe", *EDGE_NAMES),
    "web": ("stripe", *EDGE_NAMES),
    "sandbox": ("stripe", "portal"),
    **dict.fromkeys(EDGES, ("stripe",)),
}


def modules():
    return sorted(path for path in PORTAL.rglob("*.py") if "_data" not in path.parts)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name, prefix):
    return name == prefix or name.startswith(prefix + ".")


def wrong_imports(path, layer):
    for name in imports(path):
        inside = within(name, f"portal.{layer}")
        if layer == "sandbox" and inside:
            continue
        for prefix in FORBIDDEN[layer]:
            if within(name, prefix) and not (prefix == "portal.stripe" and inside):
                yield f"{path.relative_to(ROOT)} imports {name}"


#: Commands put everything together; the next tests hold what they may not do.
@pytest.mark.parametrize("layer", sorted(set(FORBIDDEN) - {"cli"}))
def test_imports_point_down(layer):
    found = [
        wrong
        for path in (PORTAL / layer).rglob("*.py")
        for wrong in wrong_imports(path, layer)
        if not (layer == "billing" and "billing/stripe/" in str(path) and " stripe" in wrong)
    ]
    assert not found


def test_only_the_stripe_engine_imports_the_sdk():
    found = {
        str(path.relative_to(PORTAL))
        for path in modules()
        for name in imports(path)
        if within(name, "stripe")
    }
    assert found
    assert all(name.startswith("billing/stripe/") for name in found)


def test_edges_do_not_import_one_another():
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for edge in EDGES
        for path in (PORTAL / edge).rglob("*.py")
        for name in imports(path)
        for other in EDGES
        if other != edge and within(name, f"portal.{other}")
    ]
    assert not found


def test_nothing_knows_the_sandbox_but_the_commands():
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        for name in imports(path)
        if within(name, "portal.sandbox")
        and not path.is_relative_to(PORTAL / "sandbox")
        and not path.is_relative_to(PORTAL / "cli")
    ]
    assert not found


def test_the_product_never_calls_the_sandboxs_controls():
    for path in modules():
        if path.is_relative_to(PORTAL / "sandbox") or path.is_relative_to(PORTAL / "cli"):
            continue
        assert "/_sandbox" not in path.read_text(), path


def test_the_sandbox_can_be_imported_without_the_portal():
    import subprocess
    import sys

    program = (
        "import sys, portal.sandbox.app; "
        "wrong = [m for m in sys.modules if m.startswith('portal.') "
        "and not m.startswith('portal.sandbox')]; "
        "assert not wrong, wrong"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_services_never_commit():
    for path in (PORTAL / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in ("commit", "rollback"), f"{path}:{node.lineno}"


def test_only_one_clock_tells_the_time():
    for path in modules():
        if path.name == "clock.py" or path.is_relative_to(PORTAL / "sandbox"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("utcnow", "today"):
                raise AssertionError(f"{path}:{node.lineno}")
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "now"
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "datetime"
            ):
                raise AssertionError(f"{path}:{node.lineno} asks datetime, not portal.clock")


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def test_no_module_is_longer_than_400_lines():
    tests = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*modules(), *tests]
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_no_function_is_longer_than_40_lines():
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": length
        for path in modules()
        for node in functions(path)
        if (length := node.end_lineno - node.lineno + 1) > 40
    }
    assert not long
