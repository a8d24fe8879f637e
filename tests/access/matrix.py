"""Writes ``docs/access.md`` from the table that the access test holds the portal to.

``python -m tests.access.matrix`` writes it; a test compares.
"""

from pathlib import Path

from tests.access.routes import ROUTES
from tests.access.table import ACTORS, MEANINGS, PROFILES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "access.md"
SIGNS = {"+": "yes", "S": "sign-in", "U": "401", "F": "403", "N": "404", "C": "secret"}
#: A table this wide is hard to read: two, one for the tenant's own people and one for the rest.
OWN = ("owner", "member", "subscriber", "publisher", "publisher 2", "admin")

BEGIN = """\
# Who may call what

Written by `python -m tests.access.matrix` from `tests/access/table.py` and `routes.py`; do not edit
it here. The test `tests/access/test_access.py` calls every route as every actor and finds what
stands here, and finds that nothing which is refused changes the database. A new route without a
line there fails it. The rows that a query can reach are narrowed in `portal/web/tenancy.py`.

## Words
"""


def page() -> str:
    """Return the document."""
    words = [f"- **{SIGNS[letter]}**: {meaning}" for letter, meaning in MEANINGS.items()]
    actors = [f"- **{name}**: {sentence}" for name, sentence in ACTORS.items()]
    others = [name for name in ACTORS if name not in OWN]
    parts = [
        BEGIN,
        *words,
        "",
        *actors,
        "\n## People of the tenant that the thing belongs to\n",
        *_table(list(OWN)),
        "\n## Everybody else\n",
        *_table(others),
        "\n## Which addresses are which",
        *_addresses(),
    ]
    return "\n".join(parts) + "\n"


def _table(actors: list[str]) -> list[str]:
    lines = [f"| what | {' | '.join(actors)} |", f"|---|{'---|' * len(actors)}"]
    for name, profile in PROFILES.items():
        cells = " | ".join(SIGNS[profile.outcome(actor)] for actor in actors)
        lines.append(f"| {name} | {cells} |")
    return lines


def _addresses() -> list[str]:
    lines = []
    for name, text in ROUTES.items():
        rule = PROFILES[name].rule.rstrip("*")
        lines += [f"\n### {name}\n", f"Declared as `{rule}`.\n"]
        routes = [line.strip() for line in text.splitlines() if line.strip()]
        lines += [f"- `{line.replace('* ', 'any method ', 1)}`" for line in routes]
    return lines


if __name__ == "__main__":
    PAGE.write_text(page())
