"""Code on its way into cells: checked, made to parse, marked and landed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_llm.frontends.comm.parts import CheckedData
from jupyter_llm.notebook.cells.shell import user_namespace
from jupyter_llm.notebook.code.blocks import CodeBlock, code_blocks
from jupyter_llm.notebook.code.names import defined_names, missing_modules, unknown_names
from jupyter_llm.tasks.code_answer import CodeCell, mended
from jupyter_llm.tasks.hidden import without_hidden
from jupyter_llm.tasks.placing import marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_llm.engine.completion import Completion


def check(sources: Sequence[str]) -> list[CheckedData]:
    """The names and modules in pieces of code that exist nowhere; nothing of it runs.

    A piece may use the names that those before it define.
    """
    namespace = user_namespace()
    defined: set[str] = set()
    results: list[CheckedData] = []
    for source in sources:
        unknown = [name for name in unknown_names(source, namespace) if name not in defined]
        missing = list(missing_modules(source))
        results.append(CheckedData(source=source, unknown_names=unknown, missing_modules=missing))
        defined |= defined_names(source)
    return results


def prepare(source: str, answer: Completion | None) -> tuple[str, dict[str, Any]]:
    """Python out of an answer as a cell holds it, and the metadata of that cell.

    It parses, and says which model wrote it, if that is known, and whether the end is missing.
    """
    block = CodeBlock(source)
    if answer is not None and answer.finish_reason != "stop":  # its last piece may be torn
        last = code_blocks(answer.text)[-1:]
        block = next((one for one in last if one.source.strip() == source.strip()), block)
    repaired = mended(block, is_cut_off=not block.is_closed)
    if not repaired.has_code:
        return source, {}
    if answer is None:
        return repaired.source, {}
    # What stands for a secret in an answer must not take the place of the secret.
    kept, _ = without_hidden(repaired.source, user_namespace())
    cell = CodeCell(source=kept or repaired.source, is_cut_off=not block.is_closed)
    source, record = marked(cell.landing, answer)
    return source, record.to_metadata() if record is not None else {}
