"""Tries whose outcomes a test decides; nothing runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_llm.notebook.sealed.seen import Seen
from jupyter_llm.tasks.tries import Tries

RUNS = Seen(outcome="runs", text="ran in a sealed copy", result="1")
IDLE = Seen(outcome="runs", text="ran in a sealed copy")
RUNNING = Seen(outcome="running", text="still running after 5 s")
REFUSED = Seen(outcome="refused", text="not tried: it would write a file (out.csv)")
DEADLY = Seen(outcome="refused", text="not tried: it would end the kernel", is_deadly=True)
UNTRIED = Seen(outcome="untried", text="not tried: this system has no Landlock")


def raising(
    kind: str = "KeyError", message: str = "'citi'", report: str = "", lineno: int = 0
) -> Seen:
    """What is seen of code that raises an error."""
    text = f"raises {kind}: {message}"
    return Seen(
        outcome="raises",
        text=text,
        error_kind=kind,
        message=message,
        report=report,
        lineno=lineno,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedTries(Tries):
    """Sees what is in `outcomes` for the sources as one text, and else that they run."""

    outcomes: Mapping[str, Seen] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    on_try: Callable[[], None] = lambda: None

    def seen(
        self,
        *sources: str,
        mended: str | None = None,  # noqa: ARG002
        look: Callable[[dict[str, Any]], object] | None = None,  # noqa: ARG002
        timeout_s: float = 5.0,  # noqa: ARG002
        step: str = "",
    ) -> Seen:
        """As `Tries`."""
        self.tried.append("\n\n".join(sources))
        self.steps.append(step)
        self.on_try()
        return self.outcomes.get(self.tried[-1], RUNS)


class OpenTries(Tries):
    """Runs what is tried in this process, with a copy of the variables and nothing sealed."""

    def seen(
        self,
        *sources: str,
        mended: str | None = None,  # noqa: ARG002
        look: Callable[[dict[str, Any]], object] | None = None,
        timeout_s: float = 5.0,  # noqa: ARG002
        step: str = "",  # noqa: ARG002
    ) -> Seen:
        """As `Tries`; what comes back has been JSON."""
        namespace = dict(self.namespace)
        for source in sources:
            exec(source, namespace)  # noqa: S102
        looked = json.loads(json.dumps(look(namespace) if look is not None else None))
        return Seen(outcome="runs", text="ran in a sealed copy", looked=looked)
