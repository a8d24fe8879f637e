"""One walk through the main job: who walks, what they remember, and how each step went."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from portal.cli.demo.sandbox import SandboxControl, SandboxRefused
from portal.cli.demo.stack import Demo
from portal.cli.processes import StartError
from portal.cli.tour.browser import Browser, Surprise
from portal.cli.tour.forms import NotThere

#: How long anything may take that happens in the background: an event, a job, a counter.
SECONDS = 20.0
AGAIN = 0.2
SUPER_TENANT = "carbon.super"


@dataclass(frozen=True)
class Outcome:
    """How one step went; ``seen`` is what was seen, in a failed step what was wrong."""

    name: str
    passed: bool
    seen: str
    seconds: float


@dataclass
class Walk:
    """The demo, the people with their browsers, and what later steps need of earlier ones."""

    demo: Demo
    outcomes: list[Outcome] = field(default_factory=list)
    events: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Type, subscription, status before, status after, as the events page shows them."""
    _known: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        origin = self.demo.options.portal
        self.admin = Browser(origin, "admin")
        self.publisher = Browser(origin, "publisher")
        self.developer = Browser(origin, "developer")

    @property
    def control(self) -> SandboxControl:
        """The sandbox's controls."""
        return self.demo.control

    @property
    def account(self) -> str:
        """The connected account of the publisher."""
        return self.demo.kept.platforms[SUPER_TENANT].connected["publisher"]

    @property
    def platform_key(self) -> str:
        """The secret key of the super tenant's platform account."""
        return self.demo.kept.platforms[SUPER_TENANT].secret_key

    def password(self, name: str) -> str:
        """Return a person's password."""
        return self.demo.kept.passwords[name]

    def keep(self, name: str, value: Any) -> None:
        """Remember something for later steps."""
        self._known[name] = value

    def keys(self) -> set[str]:
        """Return the application keys that earlier steps have made."""
        return {str(value) for name, value in self._known.items() if name.startswith("the key")}

    def recall(self, name: str) -> Any:
        """Return what an earlier step remembered.

        :raise Surprise: if that step failed
        """
        if name not in self._known:
            raise Surprise(f"An earlier step did not get as far as {name}.")
        return self._known[name]


Step = Callable[[Walk], str]


def take(walk: Walk, steps: Iterable[Step], report: Callable[[Outcome], None]) -> None:
    """Take each step in turn; one that fails does not keep later ones from being tried."""
    for step in steps:
        outcome = _try(walk, step)
        walk.outcomes.append(outcome)
        report(outcome)


def _try(walk: Walk, step: Step) -> Outcome:
    name = (step.__doc__ or step.__name__).strip().splitlines()[0].rstrip(".")
    began = time.monotonic()
    try:
        seen, passed = step(walk), True
    except (Surprise, NotThere, SandboxRefused, StartError) as error:
        seen, passed = str(error), False
    except Exception as error:
        seen, passed = f"{type(error).__name__}: {error}", False
    return Outcome(name, passed, seen, time.monotonic() - began)


def eventually(
    look: Callable[[], Any], what: str, *, seconds: float = SECONDS, seen: Callable[[], str] = str
) -> Any:
    """Look again and again until there is something, and return it.

    :raise Surprise: when time is up, with what ``seen`` says then
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise Surprise(f"No {what} within {seconds:g} s. {seen()}".rstrip())
        time.sleep(AGAIN)
    return found


def expect(holds: bool, otherwise: str) -> None:
    """Raise `Surprise` with a sentence unless something holds."""
    if not holds:
        raise Surprise(otherwise)
