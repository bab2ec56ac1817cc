"""The interface between the user's side and the part that runs a model.

Any engine, in this process or elsewhere, is an `Engine`; no caller asks which one it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from jupyter_llm.engine.completion import Score
from jupyter_llm.engine.info import EngineStatus, ModelInfo, Work
from jupyter_llm.engine.request import Prompt, Request
from jupyter_llm.engine.stream import Stream

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BulkEngine", "Engine", "Stream"]


class BulkEngine(Protocol):
    """The part of an engine that columns (`llm.map`) need, and that a cluster also has.

    Any thread may use it. Every method raises `EngineClosedError` once the engine is closed.
    """

    @property
    def info(self) -> ModelInfo:
        """Return the facts about the model."""

    def submit(self, request: Request) -> Stream:
        """Queue a request; the stream raises its errors."""

    def count_tokens(self, prompt: Prompt) -> int:
        """Return the number of tokens of a prompt; for a server, an upper estimate."""

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the tokens of plain texts, without a begin token; control texts have no meaning.

        For a server, about as many zeros.
        """

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return a vector of length one for each text, as an array (num_texts, n_embd)."""

    def close(self) -> None:
        """Cancel everything and free the model. May be called twice."""


class Engine(BulkEngine, Protocol):
    """An engine for one model. All methods but `watch` raise the errors of a `BulkEngine`.

    By default, prefilling, holding and forgetting do nothing.
    """

    @property
    def work(self) -> Work:
        """Return the present activity at once."""

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back when `work` changes or the engine closes, until the result is called.

        The call comes on any thread and must return at once. Its errors are logged.
        """

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:
        """Return the text that the model reads: messages in its chat template.

        For `think` see `SamplingParams`.
        """

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the tokens that the model reads for a prompt."""

    def count_tokens(self, prompt: Prompt, *, think: bool | None = None) -> int:
        """Return the number of tokens that the model reads for a prompt.

        For `think` see `format`.
        """

    def prefill(self, request: Request, *, is_draft: bool = False) -> None:  # noqa: ARG002
        """Read a prompt while the engine is idle, so that it is resident later.

        Returns at once. Any other request ends the prefill, and so does a later one of the same
        conversation; tokens that were read stay resident. A chat's end is left open: only the part
        is read that is the same however the last message continues, or, after an answer, whatever
        the next message is.

        With `is_draft` the prompt may be sent unchanged, so all of it is read, up to the answer. If
        it then differs, the wrong tokens are removed. A model that cannot remove tokens reads no
        drafts.
        """
        return

    def hold_background(self, *, is_held: bool) -> None:  # noqa: ARG002
        """Stop reading in the background until it is allowed again."""
        return

    def forget(self) -> None:
        """Remove all that was read, except on disk; running prompts continue."""
        return

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Score]:
        """Return the likelihood of each continuation after a prompt."""

    def status(self) -> EngineStatus:
        """Return the present state of the engine."""
