"""The seam between what people use and what runs a model.

Any engine, in this process or elsewhere, is an `Engine`; nothing above asks which one it has.
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
    """What columns need of an engine. Safe to call from any thread.

    Every method raises `EngineClosedError` once the engine is closed.
    """

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""

    def submit(self, request: Request) -> Stream:
        """Queue a request; its errors are raised by the stream."""

    def count_tokens(self, prompt: Prompt) -> int:
        """How many tokens the model will read for a prompt; on a server about, and at most."""

    def tokenize_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of plain texts: no begin token, and control texts mean nothing.

        For a server about as many zeros.
        """

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """A vector of length one for each text, as an array (num_texts, n_embd)."""

    def close(self) -> None:
        """Cancel everything and free the model. May be called twice."""


class Engine(BulkEngine, Protocol):
    """Serves requests for one model. Every method but `watch` raises as those of a `BulkEngine`.

    One that has nothing to read ahead, to hold and to forget inherits doing nothing.
    """

    @property
    def work(self) -> Work:
        """What it does, known at once."""

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever `work` is another one, or the engine has closed; end that again.

        The call comes on any thread and must return at once. Its errors are logged.
        """

    def format(self, prompt: Prompt, *, think: bool | None = None) -> str:
        """The text the model will read: messages put through its chat template.

        For `think` see `SamplingParams`.
        """

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """The tokens the model will read for a prompt."""

    def count_tokens(self, prompt: Prompt, *, think: bool | None = None) -> int:
        """How many tokens the model will read for a prompt; for `think` see `format`."""

    def prefill(self, request: Request, *, is_draft: bool = False) -> None:  # noqa: ARG002
        """Read a prompt while there is nothing else to do, so that it is resident later.

        Returns at once. Any other request ends it, and so does a later prefill of the same
        conversation; what was read by then stays. A chat is left open at its end: what is read is
        what it begins with however its last message goes on, or, after an answer, whatever the
        next message is.

        A draft may be sent as it is, so all of it is read, up to where its answer begins. Where it
        goes on otherwise, what no longer holds is forgotten again; a model that cannot forget reads
        no drafts.
        """
        return

    def hold_background(self, *, is_held: bool) -> None:  # noqa: ARG002
        """Let nothing be read in the background until it is allowed again."""
        return

    def forget(self) -> None:
        """Forget all that was read but for what is on the disk; prompts that run go on."""
        return

    def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[Score]:
        """How likely each continuation is after a prompt."""

    def status(self) -> EngineStatus:
        """What the engine does at this moment."""
