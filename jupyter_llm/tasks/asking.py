"""How `/fix` and its like ask the model: one prompt each, code that parses, records of it all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jupyter_llm.chat.archive import finished
from jupyter_llm.engine.base import Message, Request
from jupyter_llm.notebook.cells.shell import current_shell, user_namespace
from jupyter_llm.notebook.code.names import unknown_names
from jupyter_llm.notebook.values.summaries import summarize
from jupyter_llm.tasks.situation import Situation
from jupyter_llm.tasks.write import ANSWER_PREFIX, code_cells, code_prompt, write_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.api import LLM
    from jupyter_llm.engine.base import Completion, Engine, SamplingParams, Stream


@dataclass(frozen=True, slots=True)
class Asking:
    """Sends the prompts of `/fix` and its like to an engine; `show` reads each answer's stream."""

    llm: LLM
    engine: Engine
    params: SamplingParams
    show: Callable[[Stream], Completion]

    def situation(self) -> Situation:
        """Return the notebook as it is now, to be asked about."""
        return Situation.of_shell(
            current_shell(),
            self.llm.last_error,
            self.llm.timeline.snapshot().visible,
            ask=self.ask,
            to_code=self.to_code,
            unknown_names=partial(unknown_names, namespace=user_namespace()),
            summarize=summarize,
        )

    def ask(self, prompt: str, *, as_code: bool) -> Completion:
        """Return the answer to a prompt; of code, the best of a few drafts."""
        text = code_prompt(prompt) if as_code else prompt
        request = Request(prompt=(Message("user", text),), params=self.params)
        if as_code:
            answer = write_code(self.engine, request, user_namespace(), show=self.show)
            self.llm.log(answer.request, finished(answer.completion))
            return answer.completion
        with self.engine.submit(request) as stream:
            self.llm.log(request, stream.future)
            return self.show(stream)

    @staticmethod
    def to_code(text: str) -> str:
        """Return the code in an answer that began with a fence, made to parse."""
        cells = code_cells(ANSWER_PREFIX + text, is_cut_off=True)
        return "\n\n".join(cell.source for cell in cells)
