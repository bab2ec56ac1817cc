"""Mechanical changes to a cell that failed, the likeliest first. Nothing of them is tried here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_llm.notebook.failures import near_mends as nearby
from jupyter_llm.notebook.failures import value_mends as values
from jupyter_llm.notebook.failures.broken_cell import Broken, Mend, Rule
from jupyter_llm.notebook.failures.syntax_mends import syntax
from jupyter_llm.notebook.failures.ways import ways

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jupyter_llm.notebook.failures.failure import Failure

# By the classes that an error may be of; the likeliest rules first.
_RULES: tuple[tuple[tuple[str, ...], tuple[Rule, ...]], ...] = (
    (("SyntaxError",), (syntax,)),
    (("NameError", "UndefinedVariableError"), (nearby.names,)),
    (("KeyError", "ColumnNotFoundError", "BinderException"), (nearby.columns,)),
    (("OSError", "IOException"), (nearby.files,)),
    (("TypeError", "AttributeError"), (nearby.keywords,)),
    (("TypeError",), (values.methods,)),
    (("TypeError", "ValueError"), (values.conditions,)),
    (("Exception",), (ways,)),
    (("AttributeError",), (nearby.attributes,)),
    (("TypeError", "AttributeError"), (values.nothing,)),
    (("TypeError", "ValueError", "AttributeError"), (nearby.options,)),
    (("ValueError",), (nearby.columns,)),
)


def mends(
    failure: Failure, source: str, namespace: Mapping[str, Any], files: Sequence[str] = ()
) -> Iterator[Mend]:
    """Yield changes to a cell that may mend it, each different from the others.

    The cell is one that the failure came through, or may have come from. `namespace` holds what its
    code reads, and `files` are the paths there are. A rule that stumbles over the user's objects
    has nothing to say.
    """
    broken = Broken(failure, source, namespace, files)
    seen = {source}
    kinds = {failure.kind, *failure.bases, "Exception"}
    for rule in (rule for names, rules in _RULES if kinds.intersection(names) for rule in rules):
        try:
            for mend in rule(broken):
                if mend.source not in seen:
                    seen.add(mend.source)
                    yield mend
        except Exception:  # noqa: BLE001, S112  the values may be anything
            continue
