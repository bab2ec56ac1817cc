"""What is told of the names in variables before code that looks some up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jupyter_llm.notebook.values.members import keys
from jupyter_llm.notebook.values.mentions import used
from jupyter_llm.notebook.values.redaction import scrub
from jupyter_llm.notebook.values.secrets import looks_secret

_MAX_TOLD = 4  # variables


def told_names(sources: Iterable[str], variables: Mapping[str, Any]) -> str:
    """What is in the variables that some code uses, in one line of a comment: columns and keys."""
    namespace = dict(variables)  # cells go on running meanwhile
    names = dict.fromkeys(name for source in sources for name in used(source, namespace))
    parts: list[str] = []
    for name in names:
        told = keys(namespace[name]) if not looks_secret(name) else None
        if told and len(parts) < _MAX_TOLD:
            kind = "keys" if isinstance(namespace[name], dict) else "columns"
            few = [" ".join(key.split())[:24] for key in told[:12]]
            parts.append(f"{name} has the {kind} {', '.join(few)}")
    return scrub(f"# {'; '.join(parts)}") if parts else ""
