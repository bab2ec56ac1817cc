"""Conversations whose answers may have a shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from jupyter_llm.chat.asked import asked_with
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.structured.answer import ShapedStream
from jupyter_llm.structured.asking import asked_in_chat, take_shape

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.structured.answer import ShapedAnswer
    from jupyter_llm.structured.asking import PromptOptions, ShapeOptions

T = TypeVar("T")


class ShapedChat(Chat):
    """A conversation with the resident model, as `Chat` says; its answers may have a shape.

    That is given as to `llm`. Later prompts tell the model the text of such an answer.
    """

    @overload
    def __call__(
        self, prompt: str, *, context: ContextMode = "none", **options: Unpack[PromptOptions]
    ) -> Completion: ...
    @overload
    def __call__(
        self,
        prompt: str,
        *,
        schema: type[T],
        context: ContextMode = "none",
        **options: Unpack[PromptOptions],
    ) -> ShapedAnswer[T]: ...
    @overload
    def __call__(
        self, prompt: str, *, context: ContextMode = "none", **options: Unpack[ShapeOptions]
    ) -> ShapedAnswer[Any]: ...
    def __call__(self, prompt: str, **options: Any) -> Completion | ShapedAnswer[Any]:
        """Send a prompt, wait for the answer and remember both."""
        answer: Completion | ShapedAnswer[Any] = self.stream(prompt, **options).result()
        return answer

    def stream(
        self,
        prompt: str,
        *,
        show_progress: ShowProgress | None = None,
        on_begin: Callable[[int], None] | None = None,
        **options: Any,
    ) -> Any:
        """Send a prompt and return its `Stream`, or where it has a shape its `ShapedStream`."""
        shape = take_shape(options)
        asked = asked_with(prompt, options)
        if shape is not None:
            asked = asked_in_chat(asked, shape)
        stream, sending = self.send(asked, show_progress=show_progress, on_begin=on_begin)
        if shape is None:
            return stream
        return ShapedStream(stream, shape, sending.request, sending.engine)
