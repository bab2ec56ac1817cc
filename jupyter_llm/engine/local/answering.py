"""The requests that an engine works on: started, given their tokens, and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.engine.local.embedding import Embedder
from jupyter_llm.engine.local.preparing import Preparing
from jupyter_llm.engine.local.sched.drawing import Drawing
from jupyter_llm.engine.local.sched.slots import Senders
from jupyter_llm.engine.request import Priority

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_llm.engine.local.generation import Generation
    from jupyter_llm.engine.local.resident import ResidentModel
    from jupyter_llm.engine.local.sched.sequence import Event, Sequence
    from jupyter_llm.engine.options import FinishReason
    from jupyter_llm.engine.request import Prompt, Request
    from jupyter_llm.errors import JupyterLLMError


class Answering:
    """Runs requests in the lanes of a model. Belongs to the engine thread."""

    def __init__(self, model: ResidentModel) -> None:
        self._model = model
        self.preparing = Preparing(model)
        self.embedder = Embedder(model.weights, model.lanes)
        self.generations: dict[Sequence, Generation] = {}
        self._senders = Senders()
        self.num_forgets = 0
        """How often `forget` was called; prompts of before are not read ahead any more."""
        self.tokens_per_s = 0.0
        """The speed of the latest answer."""

    def start(self, generation: Generation) -> None:
        """Queue a request."""
        self._end_background()
        self.preparing.begin(generation)
        run = generation.run
        assert run is not None
        if sender := generation.request.sender:
            run.most_cached = self._senders.num_known(sender, run.sequence.token_ids)
        self.generations[run.sequence] = generation
        self._end_held()

    def hold_background(self, *, is_held: bool) -> None:
        """Pause background reading and end background answers, or allow both again."""
        self._model.lanes.hold_background(is_held=is_held)
        self._end_held()

    def _end_held(self) -> None:
        if self._model.lanes.is_background_held:
            for generation in [*self.generations.values()]:
                if generation.request.priority is Priority.BACKGROUND:
                    self.end(generation, "cancelled")

    def read_ahead(
        self, request: Request, tokenize: Callable[[Prompt], tuple[int, ...]], num_forgets: int
    ) -> None:
        """Read a prompt in the background if nobody waits for an answer."""
        if num_forgets != self.num_forgets:
            return
        if request.conversation is not None:
            self._end_background(request.conversation)  # its tokens are the start of this prompt
        if not self._model.lanes.is_free:
            return
        token_ids = list(tokenize(request.prompt))
        request = self.preparing.with_room(request, think=request.think)
        self.preparing.read_ahead(request, token_ids)

    def hand_out(self, event: Event) -> None:
        """Give a token, an end or an error to the request that waits for it."""
        self.embedder.hand_out(event)
        sequence = event.sequence
        generation = self.generations.get(sequence)
        if generation is None:
            return  # a prefill, or it ended at an earlier token of this step
        if event.error is not None:
            del self.generations[sequence]
            generation.fail(event.error)
            return
        generation.times.touch()
        written = generation.written
        if event.token_id is not None:
            bytes_of, marks = self._model.weights.bytes_of, self._model.tokenizer.mark_bytes
            generation.take(event.token_id, bytes_of, marks)
        else:
            generation.has_ended = True
        is_last = event.token_id is None or written.num_tokens == sequence.num_written
        reason = sequence.finish_reason if is_last else None
        if reason == "error":
            return  # the error is the next event
        if written.is_free:
            is_paused = isinstance(sequence.work, Drawing) and sequence.work.is_paused
            if is_last and (is_paused or written.num_closed or generation.is_looping):
                self.preparing.go_on(generation)
            return
        if generation.is_looping and reason is None:
            reason = "repetition"
        if generation.scorer is not None:
            generation.choose(self._model.tokenizer.named)
        if written.detokenizer.is_stopped:
            reason = "stop"
        if reason is not None:
            self.end(generation, reason)

    def end(self, generation: Generation, reason: FinishReason) -> None:
        """End a request with its completion; do nothing if it ended before."""
        run = generation.run
        if run is None or self.generations.pop(run.sequence, None) is None:
            return
        run.lane.scheduler.finish(run.sequence, reason)
        completion = generation.end(reason)
        self.tokens_per_s = completion.usage.tokens_per_s or self.tokens_per_s

    def forget(self) -> None:
        """Forget all that was read, but not what is on the disk; running prompts go on."""
        self.num_forgets += 1
        self._senders = Senders()
        self._end_background()
        for sequence in self.generations:
            sequence.is_private = True  # a waiting sequence, too, and in another slot
        self._model.lanes.forget()

    def close(self, error: JupyterLLMError) -> None:
        """Fail all requests."""
        for generation in list(self.generations.values()):
            if (run := generation.run) is not None:
                run.lane.scheduler.finish(run.sequence, "error")
            generation.fail(error)
        self.generations.clear()
        self.embedder.close(error)

    def _end_background(self, conversation: str | None = None) -> None:
        """Stop reading and writing in the background, for all conversations or for one."""
        for lane in self._model.lanes.all:
            for sequence in lane.scheduler.of_class(Priority.BACKGROUND):
                if conversation is None or sequence.conversation == conversation:
                    if (generation := self.generations.get(sequence)) is not None:
                        self.end(generation, "cancelled")
                    else:
                        lane.scheduler.finish(sequence, "cancelled")
