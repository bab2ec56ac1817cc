"""One text in every place that shows what a model, or a draft that was tried, may say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from IPython.core.formatters import DisplayFormatter
from support.recorded import record

from jupyter_llm.ask.answer import ShapedAnswer
from jupyter_llm.ask.shape import Shape
from jupyter_llm.chat.context import Turn
from jupyter_llm.chat.context_report import ContextReport, ContextRow
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.common.bars import Pace, Step
from jupyter_llm.engine.completion import Choice, Completion, Score, Usage
from jupyter_llm.engine.info import EngineStatus, ModelInfo
from jupyter_llm.engine.status import Status
from jupyter_llm.engine.tokens import TokenLogprob
from jupyter_llm.frontends.doctor import Diagnosis, Remark
from jupyter_llm.frontends.panel.transcript_output import TranscriptOutput
from jupyter_llm.frontends.views import NotebookView
from jupyter_llm.notebook.cells.events import CellEvent
from jupyter_llm.records.audit import record_text
from jupyter_llm.records.verify import Verdict, VerifyReport
from jupyter_llm.tasks.proposal import Proposal
from jupyter_llm.tasks.review import Review

Bundle = dict[str, str]

_FORMATTER = DisplayFormatter()


def outputs_with(text: str) -> dict[str, Bundle]:
    """Return the bundle of each place for a text, by the name of the place."""
    shown = {name: bundles[-1] for name, bundles in _in_cells(text)}
    for value in _values(text):
        data, _ = _FORMATTER.format(value)
        assert set(data) > {"text/plain"}
        shown[f"{type(value).__name__} {len(shown)}"] = data
    chat = SimpleNamespace(
        kept_turns=(Turn(text, _completion(text), by=text),), num_other_branches=0
    )
    shown["transcript"] = dict(TranscriptOutput("p", cast("Chat", chat)).bundle[0])
    return shown


def _in_cells(text: str) -> Iterator[tuple[str, list[Bundle]]]:
    """Yield the states of outputs of cells: answers, notes, proposals, and answers to commands."""
    for name in ("an answer", "a note", "thoughts", "a step", "a diff", "a record"):
        states: list[Bundle] = []
        view = NotebookView(
            lambda data, states=states, **_more: states.append(data),
            "text/markdown",
            pace=Pace(iter(range(9)).__next__),
        )
        if name == "thoughts":
            view.think(text, 3)
        if name == "a step":
            view.update(text)
            view.progress(Step(text))
        elif name == "a diff":
            proposal = _proposal(text)
            view.close(str(proposal), text, html=proposal.to_html())
        elif name == "a record":
            view.close(record_text({"jupyter_llm": _record(text).to_json()}, text), "")
        else:
            view.close("a" if name == "a note" else text, text if name == "a note" else "b")
        yield name, states


def _values(text: str) -> Iterator[object]:
    """Yield values that show themselves."""
    yield _completion(text)
    yield replace(_completion("a"), reasoning=text)
    yield _completion(text).show_tokens()
    choice = Choice((Score(text, (-1.0,)), Score("b", (-2.0,))))
    yield ShapedAnswer(text, replace(_completion(text), choice=choice), Shape(None, str))
    tree = json.dumps({text: [text, {"a": text}]})
    yield ShapedAnswer(text, _completion(tree), Shape(None, str, is_json=True))
    yield _proposal(text)
    yield Proposal(source=f"a = '''{text}'''", verdict=text, unknown_names=(text,))
    yield Review(title=text, findings=(text,), words=(text,), by=text)
    yield Diagnosis((Remark(text, "wrong", text, text),))
    row = ContextRow("cell", f"In [1] {text}", text, is_in=True, state=text, secrets=(text,))
    yield ContextReport(chat=text, mode="auto", rows=(row,), model=text)
    info = ModelInfo(name=text, architecture=text, license=text, n_ctx=1, build=text)
    yield Status(info=info, engine=EngineStatus(), served_at=text)
    made = Verdict(place=text, result="different", record=_record(text), remarks=(text,), diff=text)
    yield VerifyReport((made,))


def _completion(text: str) -> Completion:
    token = TokenLogprob(1, text, -1.0, ((text, -1.0), (f"{text}!", -2.0)))
    return Completion(text=text, finish_reason="stop", usage=Usage(), model=text, logprobs=(token,))


def _record(text: str) -> Any:
    made = record(text)
    model = replace(made.model, name=text, quantization=text, license=text, file=text, host=text)
    return replace(made, model=model, build=text, machine=text)


def _proposal(text: str) -> Proposal:
    cell = CellEvent(number=1, source=f"a = '''{text}'''", execution_count=1)
    more = {"reason": text, "mend": text, "verdict": text, "unknown_names": (text,)}
    return Proposal(source=f"b = '''{text}'''", cell=cell, **cast("Any", more))
