"""Renders a failure and its cells as text for the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jupyter_llm.common.markdown import code_block
from jupyter_llm.notebook.cells.rendering import cell_name
from jupyter_llm.notebook.failures.failure import Failure
from jupyter_llm.notebook.failures.frames import Frame, Step
from jupyter_llm.notebook.values.summaries import Summary


def failure_text(failure: Failure) -> str:
    """Return the exception, its places, the variables, and the preceding exception as text."""
    return "\n\n".join(_parts(failure))


def _parts(failure: Failure) -> Iterator[str]:
    yield failure.headline
    if failure.missing is not None:
        yield f"{failure.missing}."
    if (syntax := failure.syntax) is not None:
        name = cell_name(syntax.cell) if syntax.cell is not None else (syntax.path or "the text")
        yield f"Python stopped reading at line {syntax.line} of {name}:\n{syntax.marked_line}"
    if failure.frames:
        yield "\n".join(["Traceback, the last step is the innermost:", *_steps(failure.steps)])
    for frame in failure.frames:
        if frame.cell is None:
            yield f"The code in {frame.path}:\n{code_block(frame.source)}"
    # The innermost frame's variables come last, next to the task.
    for frame in failure.frames:
        place = "at the top level" if frame.is_module_level else f"in `{frame.function}`"
        yield from _variables(frame.variables, place, frame.num_omitted)
    origin = failure.origin
    if origin is not None and (origin.frames or origin.headline != failure.headline):
        verb = "It was raised from" if failure.is_direct_cause else "It was raised while handling"
        yield f"{verb}:\n{failure_text(origin)}"


def _steps(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        if isinstance(step, Frame) and step.is_comprehension:
            continue
        if isinstance(step, Frame):
            is_seen = step.expression in step.line_text
            details = "" if is_seen else f"   # at {step.expression}"
            yield f"- {where(step)}: {step.line_text}{details}"
        else:
            yield f"- {step}"


def where(frame: Frame) -> str:
    """Return the place of a frame in words."""
    place = cell_name(frame.cell) if frame.cell is not None else frame.path
    line = f"{place}, line {frame.line}"
    return line if frame.is_module_level else f"{line}, in `{frame.function}`"


def _variables(variables: Iterable[Summary], place: str, num_omitted: int) -> Iterator[str]:
    lines = ["- " + variable.text.replace("\n", "\n  ") for variable in variables]
    if num_omitted and lines:
        lines.append(f"- and {num_omitted} more")
    if lines:
        yield "\n".join([f"Variables {place}:", *lines])
