"""Download the browser files under static/vendor/ again, and check them.

    python docs/tools/vendor.py            # npm pack, check, copy, cut the sprite, write VENDOR.md
    python docs/tools/vendor.py --check    # compare what is there with the table below; no network

Needs npm for the first form only. Every package is named with its exact version and the SHA-256 of
its archive: npm quietly picks an older version where a package's "engines" excludes the Node that
is installed. To add an icon, add its name to ICONS and run the script.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[2] / "static" / "vendor"
SPRITE = "icons/icons.svg"
SPRITE_SHA256 = "85e12ff6a790fc137806e79d90a3083b6f8e01aab9ce7125d103b6714f6dc454"

TABLER_LICENCE = """MIT License

Copyright (c) 2018-2026 The Tabler Authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""


@dataclass(frozen=True)
class File:
    """One file taken unchanged: where it is in the package, where it goes, what it must hash to."""

    source: str
    target: str
    sha256: str


@dataclass(frozen=True)
class Package:
    """One npm package: the archive's hash, the files taken from it, and its licence files."""

    name: str
    version: str
    sha256: str
    licence: str
    files: tuple[File, ...] = ()
    licence_files: tuple[str, ...] = ("LICENSE",)


PACKAGES = (
    Package(
        "@tabler/core",
        "1.6.1",
        "d02d679e51f6c179b21f035e154c13cdcb2ae8b18579e56ea606408ba7fc7a87",
        "MIT",
        (
            File(
                "dist/css/tabler.min.css",
                "tabler/tabler.min.css",
                "370a2d4e608ae518351d10528fc7dbe19b354ae5062c51b2a9cb294850d65403",
            ),
            File(
                "dist/js/tabler.min.js",
                "tabler/tabler.min.js",
                "9d26ca1aa061a0c647305654e32efc2c8838e348b2423e9d1f4593869868e09b",
            ),
        ),
        # The archive carries no licence file; the banner of the style sheet names this one.
        licence_files=(),
    ),
    Package(
        "htmx.org",
        "2.0.11",
        "165a2655073e9e6e55e307a7c74e8ebcdb76afb7701f9c16cfd106a13add408e",
        "0BSD",
        (
            File(
                "dist/htmx.min.js",
                "htmx/htmx.min.js",
                "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
            ),
        ),
    ),
    Package(
        "chart.js",
        "4.6.1",
        "9345dacdf4bb4c5d40321f4b9aafab6fe676d37a534fc0bc2d17c4c4e29c4f00",
        "MIT",
        (
            File(
                "dist/chart.umd.min.js",
                "chartjs/chart.umd.min.js",
                "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2",
            ),
        ),
        licence_files=("LICENSE.md",),
    ),
    Package(
        "swagger-ui-dist",
        "5.35.0",
        "1b8e891893404ea4c3558b6a87e2a3e494e7eedba41168c2ece5800a391a6ea6",
        "Apache-2.0",
        (
            File(
                "swagger-ui.css",
                "swagger-ui/swagger-ui.css",
                "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
            ),
            File(
                "swagger-ui-bundle.js",
                "swagger-ui/swagger-ui-bundle.js",
                "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
            ),
        ),
        licence_files=("NOTICE", "swagger-ui-bundle.js.LICENSE.txt", "LICENSE"),
    ),
    Package(
        "@fontsource-variable/inter",
        "5.3.0",
        "d26710dd38e7217484a1d47ee76c024977ec550548876f26d06ed1844af09a14",
        "OFL-1.1",
        (
            File(
                "files/inter-latin-wght-normal.woff2",
                "inter/inter-latin-wght-normal.woff2",
                "3100e775e8616cd2611beecfa23a4263d7037586789b43f035236a2e6fbd4c62",
            ),
        ),
    ),
    Package(
        "@tabler/icons",
        "3.51.0",
        "b30108713d3fa60aee862c2a133225da8e0f309be0708fe2925763ff810c766c",
        "MIT",
    ),
)

ICONS = (
    *("activity", "adjustments", "alert-circle", "alert-triangle", "api", "apps", "archive"),
    *("arrow-left", "arrow-right", "arrow-up-right", "ban", "bell", "bolt", "book"),
    *(
        "building-bank",
        "building-store",
        "chart-bar",
        "check",
        "checklist",
        "chevron-down",
        "chevron-left",
    ),
    *("chevron-right", "circle", "circle-check", "circle-dot", "circle-minus", "circle-x"),
    *(
        "clipboard-list",
        "clock",
        "cloud-upload",
        "code",
        "coins",
        "copy",
        "credit-card",
        "device-desktop",
    ),
    *("download", "external-link", "eye", "file-code", "file-invoice", "gauge", "help-circle"),
    *("history", "home", "hourglass", "info-circle", "key", "layout-grid", "list-details"),
    *(
        "lock",
        "login",
        "logout",
        "moon",
        "pencil",
        "plug-connected",
        "plus",
        "receipt",
        "receipt-2",
    ),
    *("refresh", "replace", "rocket", "route", "search", "send", "server", "settings"),
    *("shield-check", "stack-2", "sun", "tag", "test-pipe", "trash", "upload", "user", "users"),
    *("webhook", "world", "x"),
)


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def pack(package: Package, folder: Path) -> dict[str, bytes]:
    """Download one package and return its files by path; exits when the archive's hash differs."""
    wanted = f"{package.name}@{package.version}"
    done = subprocess.run(  # noqa: S603
        ["npm", "pack", "--silent", "--pack-destination", str(folder), wanted],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    )
    archive = folder / done.stdout.strip().splitlines()[-1]
    found = digest(archive.read_bytes())
    if found != package.sha256:
        sys.exit(f"{wanted}: the archive's SHA-256 is {found}, expected {package.sha256}.")
    with tarfile.open(archive) as tar:
        return {
            member.name.partition("/")[2]: stream.read()
            for member in tar
            if (stream := tar.extractfile(member)) is not None
        }


def cut_sprite(contents: dict[str, bytes]) -> bytes:
    """Return one SVG with a <symbol> per name in ICONS, cut from the outline drawings."""
    symbols = []
    for name in sorted(ICONS):
        drawing = contents[f"icons/outline/{name}.svg"].decode()
        body = drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")]
        # The first path is an invisible 24 × 24 frame.
        body = re.sub(r'<path stroke="none" d="M0 0h24v24H0z"[^>]*/>', "", body)
        body = re.sub(r"\s*\n\s*", "", body).replace(" />", "/>")
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{body}</symbol>')
    lines = ['<svg xmlns="http://www.w3.org/2000/svg">', *symbols, "</svg>", ""]
    return "\n".join(lines).encode()


def table() -> dict[str, str]:
    """Return every vendored path with the SHA-256 it must have."""
    rows = {file.target: file.sha256 for package in PACKAGES for file in package.files}
    return rows | {SPRITE: SPRITE_SHA256}


def check() -> list[str]:
    """Return one sentence for each vendored file that is missing, changed or not in the table."""
    problems = []
    expected = table()
    for target, wanted in expected.items():
        path = VENDOR / target
        if not path.is_file():
            problems.append(f"{target} is missing: run docs/tools/vendor.py.")
        elif (found := digest(path.read_bytes())) != wanted:
            problems.append(f"{target} has SHA-256 {found}, expected {wanted}.")
    present = {str(p.relative_to(VENDOR)) for p in VENDOR.rglob("*") if p.is_file()}
    extra = present - set(expected) - {"VENDOR.md"}
    return problems + [
        f"{name} is in no package of docs/tools/vendor.py." for name in sorted(extra)
    ]


def record(licences: dict[str, str]) -> str:
    """Return the text of VENDOR.md: what is here, from where, with which hash and licence."""
    lines = [
        "# Browser files from elsewhere",
        "",
        "Written by `docs/tools/vendor.py`, which downloads these files again and checks them.",
        "Nothing here is edited by hand.",
        "",
        "| file | package | source file | licence | SHA-256 |",
        "|---|---|---|---|---|",
    ]
    for package in PACKAGES:
        origin = f"{package.name} {package.version}"
        lines += [
            f"| {f.target} | {origin} | {f.source} | {package.licence} | `{f.sha256}` |"
            for f in package.files
        ]
    icons = PACKAGES[-1]
    drawings = f"{len(ICONS)} drawings of icons/outline/"
    lines += [
        f"| {SPRITE} | {icons.name} {icons.version} | {drawings} | MIT | `{SPRITE_SHA256}` |",
        "",
    ]
    for name, text in licences.items():
        lines += [f"## Licence of {name}", "", "```text", text.strip(), "```", ""]
    return "\n".join(lines)


def refresh() -> None:
    """Download, check and write every file, then VENDOR.md."""
    licences = {}
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            contents = pack(package, Path(folder))
        outputs = [(file.target, contents[file.source]) for file in package.files]
        if package.name == "@tabler/icons":
            outputs.append((SPRITE, cut_sprite(contents)))
        for target, data in outputs:
            path = VENDOR / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        texts = [contents[name].decode().strip() for name in package.licence_files]
        licences[f"{package.name} {package.version}"] = "\n\n".join(texts) or TABLER_LICENCE
        print(f"{package.name} {package.version}")
    (VENDOR / "VENDOR.md").write_text(record(licences), encoding="utf-8")


def main() -> None:
    """Run the download unless --check is given; exit 1 when a file is not as recorded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only, no network")
    if not parser.parse_args().check:
        refresh()
    problems = check()
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
