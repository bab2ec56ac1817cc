"""An Engine that answers from a script; the contract suite keeps it honest."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from jupyter_llm.common.watchers import Watchers
from jupyter_llm.engine.completion import (
    Choice,
    Chunk,
    Completion,
    Progress,
    Score,
    Usage,
    answer_record,
)
from jupyter_llm.engine.constraint import BeginsWith, OneOf
from jupyter_llm.engine.info import EngineStatus, FimTokens, ModelInfo, NotebookTokens, Work
from jupyter_llm.engine.options import FinishReason
from jupyter_llm.engine.provenance import ContextSettings, ModelFacts, Writer
from jupyter_llm.engine.request import Message, Prompt, RawPrompt, Request, Special, raw_text
from jupyter_llm.engine.stream import Stream, StreamFeed
from jupyter_llm.engine.thinking import Thinking
from jupyter_llm.errors import (
    ContextOverflowError,
    EmptyPromptError,
    EngineClosedError,
    JupyterLLMError,
    OptionError,
)

N_CTX = 4096
SMALL = 494_000_000  # parameters of a model that copies what it is told
CONTROL_TEXTS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CONTEXT = ContextSettings(
    lane="fast",
    n_ctx=N_CTX,
    n_batch=512,
    kv_type="f16",
    flash_attention=False,
    n_gpu_layers=None,
    repack=None,
    full_window=True,
)


class ScriptedEngine:
    """Replies from a queue of texts, one chunk a word; remembers what it was asked.

    Of a choice the next reply is the likeliest if it is one, else the first: 0.7, others share 0.2.

    Without a reply left it answers "word word word …", as long as it is let. Counts a token a
    character, and a special part as one: those of `CONTROL_TEXTS`, `fim` and `notebook`. With
    `holds=True` it writes one chunk, calls `on_hold` on a thread of its own, and then waits until
    it is cancelled. While `may_write` is not set, it reads. With a `failure` it does nothing else.
    """

    def __init__(
        self,
        replies: Sequence[str] = (),
        *,
        holds: bool = False,
        on_hold: Callable[[], None] = lambda: None,
        fim: FimTokens | None = None,
        notebook: NotebookTokens | None = None,
    ) -> None:
        self.replies = deque(replies)
        self.requests: list[Request] = []
        self.prefilled: list[Request] = []
        self.drafts: list[Request] = []
        self.is_background_held = False
        self.holds = holds
        self.on_hold = on_hold
        self.may_write = threading.Event()
        self.may_write.set()
        self.failure: JupyterLLMError | None = None
        self.is_closed = False
        self._progress: list[Callable[[], Progress]] = []  # of each request
        self._watchers = Watchers()
        self.info = ModelInfo(
            name="scripted",
            path=Path("scripted.gguf"),
            architecture="script",
            quantization="none",
            size_bytes=0,
            license=None,
            n_ctx=N_CTX,
            n_ctx_train=N_CTX,
            n_vocab=256,
            n_threads=1,
            flash_attention=False,
            has_chat_template=True,
            build="test",
            fim=fim,
            notebook=notebook,
        )
        more = [text for tokens in (fim, notebook) if tokens for text in astuple(tokens) if text]
        self._control_ids = {text: 256 + n for n, text in enumerate((*CONTROL_TEXTS, *more))}

    @property
    def work(self) -> Work:
        states = [progress().state for progress in self._progress]
        return "writing" if "writing" in states else "reading" if "reading" in states else "idle"

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        return self._watchers.add(callback)

    def submit(self, request: Request) -> Stream:
        self._check_open()
        self.requests.append(request)
        reply = self.replies.popleft() if self.replies else "word " * 100_000
        begins = request.constraint if isinstance(request.constraint, BeginsWith) else None
        if begins is not None and not reply.startswith(begins.texts):
            reply = begins.texts[0] + reply
        choice: Choice | None = None
        if isinstance(request.constraint, OneOf):
            texts = request.constraint.texts
            reply = reply if reply in texts else texts[0]
            others = 0.2 / len(texts)
            scores = (Score(t, (math.log(0.7 if t == reply else others),)) for t in texts)
            choice = Choice(tuple(scores))
        cancelled = threading.Event()
        written: list[str] = []
        thoughts: list[str] = []
        is_chat = isinstance(request.prompt, tuple)
        is_begun = bool(request.answer_prefix) or request.constraint is not None
        thinking = Thinking() if is_chat and not is_begun else None
        feed = StreamFeed()
        try:
            prompt_ids = self.tokenize(request.prompt)
        except OptionError as error:
            feed.fail(error)
            prompt_ids = ()
        if prompt_ids:
            prompt_ids += self.tokenize(request.answer_prefix)
        num_tokens = len(prompt_ids)

        def completion(reason: FinishReason) -> Completion:
            params = request.params.filled(self.info.sampling.params)
            text, reasoning = "".join(written), "".join(thoughts)
            seed = None if params.temperature == 0 else params.seed or 0
            usage = Usage(
                prompt_tokens=num_tokens,
                completion_tokens=len(reasoning) + len(text),
                reasoning_tokens=len(reasoning),
            )
            return Completion(
                text=text,
                reasoning=reasoning,
                finish_reason=reason,
                usage=usage,
                model=self.info.name,
                seed=seed,
                choice=choice if reason == "stop" else None,
                provenance=answer_record(
                    Writer(model=ModelFacts.of(self.info, None), context=CONTEXT, build="test"),
                    params,
                    seed=seed,
                    exact=False,
                    prompt_ids=prompt_ids,
                    text=text,
                    reasoning=reasoning,
                    usage=usage,
                    finish_reason=reason,
                    constraint=request.constraint,
                ),
            )

        def progress() -> Progress:
            has_begun = bool(written or thoughts)
            return Progress(
                state="finished" if feed.future.done() else "writing" if has_begun else "reading",
                num_prompt=num_tokens,
                num_read=num_tokens if has_begun else 0,
                num_written=len("".join([*thoughts, *written])),
            )

        self._progress.append(progress)
        stream = Stream(feed, cancelled.set, lambda: completion("cancelled"), progress)

        def run() -> None:
            self._watchers.notify()
            write()
            self._watchers.notify()

        def write() -> None:
            if feed.future.done():
                return
            if not num_tokens:
                feed.fail(EmptyPromptError())
                return
            if num_tokens >= N_CTX:
                feed.fail(ContextOverflowError(num_tokens, N_CTX))
                return
            while not (self.may_write.wait(0.01) or cancelled.is_set() or self.is_closed):
                pass
            if self.failure is not None:
                feed.fail(self.failure)
                return
            limit = request.params.max_tokens or N_CTX - num_tokens
            text, reason = _cut(reply, request.params.stop, limit)
            if choice is not None:
                text, reason = reply, "stop"
            for word in _words(text):
                if cancelled.is_set() or self.is_closed:
                    feed.finish(completion("cancelled"))
                    return
                thought, answer = ("", word) if thinking is None else thinking.feed(word)
                thoughts.append(thought)
                written.append(answer)
                feed.put(Chunk(answer, thought))
                self._watchers.notify()
                if self.holds:
                    self.on_hold()
                cancelled.wait(30 if self.holds else 0.001)  # at a model's pace, not at once
            if thinking is not None and not thinking.is_over:
                thought, answer = thinking.flush()
                thoughts.append(thought)
                written.append(answer)
                feed.put(Chunk(answer, thought))
            feed.finish(completion(reason))

        threading.Thread(target=run, daemon=True).start()
        return stream

    def prefill(self, request: Request, *, is_draft: bool = False) -> None:
        self._check_open()
        (self.drafts if is_draft else self.prefilled).append(request)

    def hold_background(self, *, is_held: bool) -> None:
        self._check_open()
        self.is_background_held = is_held

    def forget(self) -> None:
        self._check_open()

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Score]:
        """Score a text by its length: -1 a character."""
        if not self.count_tokens(prompt):
            raise EmptyPromptError
        return [Score(text, (-1.0,) * len(text)) for text in continuations]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Point each text along the axis of its length."""
        self._check_open()
        vectors = np.zeros((len(texts), 8), np.float32)
        for row, text in enumerate(texts):
            vectors[row, len(text) % 8] = 1
        return vectors

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:  # noqa: ARG002
        self._check_open()
        if isinstance(prompt, tuple):
            return "".join(_format(message) for message in prompt)
        return raw_text(prompt)

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        self._check_open()
        return [tuple(text.encode("utf-8", "replace")) for text in texts]

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        parts = prompt.parts if isinstance(prompt, RawPrompt) else (self.format(prompt),)
        return tuple(token_id for part in parts for token_id in self._tokens_of(part))

    def count_tokens(self, prompt: Prompt, *, think: bool | None = None) -> int:  # noqa: ARG002
        return len(self.tokenize(prompt))

    def status(self) -> EngineStatus:
        self._check_open()
        return EngineStatus()

    def close(self) -> None:
        self.is_closed = True
        self._watchers.notify()

    def _tokens_of(self, part: str | Special) -> Sequence[int]:
        self._check_open()
        if isinstance(part, str):
            return part.encode("utf-8", "replace")
        if part.text not in self._control_ids:
            raise OptionError(f"The model has no control token {part.text!r}.")
        return (self._control_ids[part.text],)

    def _check_open(self) -> None:
        if self.is_closed:
            raise EngineClosedError("closed")


def messages_of(prompt: Prompt) -> tuple[Message, ...]:
    """The messages of a chat's prompt, which is none of raw text."""
    assert isinstance(prompt, tuple)
    return prompt


def _format(message: Message) -> str:
    return f"[{message.role}] {message.content}\n"


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + [text.rsplit(" ", maxsplit=1)[-1]]


def _cut(text: str, stop: Sequence[str], limit: int) -> tuple[str, FinishReason]:
    ends = [text.find(s) for s in stop if s in text]
    end = min(ends, default=len(text))
    return (text[:end], "stop") if end <= limit else (text[:limit], "length")
