"""What is told of the names in variables before code that looks some up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_llm.notebook.values.members import keys
from jupyter_llm.notebook.values.peek import is_a

_MAX_TOLD = 4  # variables


def names_worth_telling(variables: Mapping[str, Any]) -> str:
    """What is in some variables by name, in one line of a comment: columns and keys; "" if none."""
    from jupyter_llm.notebook.values.redaction import scrub
    from jupyter_llm.notebook.values.secrets import looks_secret

    parts: list[str] = []
    for variable, value in variables.items():
        told = keys(value) if not looks_secret(variable) else None
        if told:
            kind = "keys" if is_a(value, dict) else "columns"
            few = [" ".join(name.split())[:24] for name in told[:12]]
            if len(parts) == _MAX_TOLD:
                break
            parts.append(f"{variable} has the {kind} {', '.join(few)}")
    return scrub(f"# {'; '.join(parts)}") if parts else ""
