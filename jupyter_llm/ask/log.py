"""The log of answers: what models wrote in this kernel, with the records that `/verify` needs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from jupyter_llm.ask.prompt_store import KeptPrompt, PromptStore
from jupyter_llm.common.clipping import shorten
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.provenance import Provenance, text_sha256
from jupyter_llm.engine.request import Request, raw_text
from jupyter_llm.errors import ProvenanceError

_MAX_ANSWERS = 500
_MAX_PLACE = 40  # characters of a prompt that tell it from others


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """An answer of a model with its record.

    `place`: the cell that shows the answer, or the last line of its prompt. `record`: the error, if
    the record cannot be read. `text`: None if only its hash is recorded. `is_private`: nothing of
    the answer is written to the disk, also when it is written again.
    """

    place: str
    record: Provenance | ProvenanceError
    text: str | None
    prompt: KeptPrompt | None = None
    is_private: bool = False

    @property
    def is_as_recorded(self) -> bool:
        """Whether the text has the hash that the record states, as far as the text is known."""
        if isinstance(self.record, ProvenanceError):
            return False
        return self.text is None or text_sha256(self.text) == self.record.text_sha256


class AnswerLog:
    """The latest answers of this kernel, the oldest first; their prompts are stored on the disk.

    Safe from any thread. An answer that a caller has waited for is in the log.
    """

    def __init__(self, store: PromptStore) -> None:
        self._store = store
        self._answers: deque[RecordedAnswer] = deque(maxlen=_MAX_ANSWERS)
        self._coming: list[tuple[Request, Future[Completion]]] = []
        self._lock = threading.Lock()  # so that nothing is kept that was to be cleared

    def log(self, request: Request, future: Future[Completion]) -> None:
        """Log an answer once it is written, unless the log is cleared before that."""
        with self._lock:
            self._coming.append((request, future))
        future.add_done_callback(self._take_in)

    def _take_in(self, _future: Future[Completion] | None = None) -> None:
        """Add the answers that are complete; mostly called on the engine's thread."""
        with self._lock:
            coming, self._coming = self._coming, []
            for request, future in coming:
                if future.done():
                    self._add(request, future)
                else:
                    self._coming.append((request, future))

    def _add(self, request: Request, future: Future[Completion]) -> None:
        if future.exception() is not None or (record := future.result().provenance) is None:
            return
        prompt, text = KeptPrompt.of(request), future.result().text
        is_private = request.is_private
        self._answers.append(RecordedAnswer(_last_line(prompt), record, text, prompt, is_private))
        if not is_private:
            self._store.keep(record.prompt_key, prompt)
            from jupyter_llm.models.discover import note_answer  # reads files' headers

            note_answer(future.result().model)

    def prompt_of(self, key: str) -> KeptPrompt | None:
        """Return a prompt by its key: of this kernel, also a private one, or from the store."""
        for answer in self:
            record = answer.record
            if isinstance(record, Provenance) and record.prompt_key == key:
                return answer.prompt
        return self._store.find(key)

    def forget(self, keys: Collection[str]) -> None:
        """Remove the answers to some prompts, and the prompts from the disk."""
        self._take_in()  # or answers that are complete would be logged after this
        with self._lock:  # else the engine's thread may push one out that is to be removed
            for answer in list(self._answers):
                record = answer.record
                if isinstance(record, Provenance) and record.prompt_key in keys:
                    self._answers.remove(answer)
        self._store.forget(keys)

    def clear(self) -> None:
        """Remove all answers, and all prompts of this notebook from the disk."""
        with self._lock:
            self._coming.clear()
            self._answers.clear()
            self._store.clear()

    def __iter__(self) -> Iterator[RecordedAnswer]:
        self._take_in()
        return iter(list(self._answers))

    def __len__(self) -> int:
        self._take_in()
        return len(self._answers)


def _last_line(kept: KeptPrompt) -> str:
    """Return the last line of a prompt, which identifies it: the question comes last."""
    prompt = kept.prompt
    if isinstance(prompt, tuple):
        text = "".join(message.content for message in prompt[-1:])
    else:
        text = raw_text(prompt)
    return shorten(text.rstrip().rpartition("\n")[2].strip(), _MAX_PLACE)
