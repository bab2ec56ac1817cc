"""Conversations whose answers may have a shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from jupyter_llm.chat.asked import asked_with
from jupyter_llm.chat.conversation import Chat
from jupyter_llm.structured.answer import ShapedStream
from jupyter_llm.structured.asking import asked_in_chat, take_shape

if TYPE_CHECKING:
    from typing import Unpack

    from jupyter_llm.chat.budget import ContextMode
    from jupyter_llm.engine.completion import Completion
    from jupyter_llm.structured.answer import ShapedAnswer
    from jupyter_llm.structured.asking import PromptOptions, ShapeOptions, T


class ShapedChat(Chat):
    """A conversation with the resident model, as `Chat` says; its answers may have a shape.

    That is given as to `llm`. Later prompts tell the model the text of such an answer.
    """

    @overload
    def __call__(
        self, prompt: str, *, context: ContextMode = ..., **options: Unpack[PromptOptions]
    ) -> Completion: ...
    @overload
    def __call__(
        self, prompt: str, *, schema: type[T], **options: Unpack[PromptOptions]
    ) -> ShapedAnswer[T]: ...
    @overload
    def __call__(
        self, prompt: str, *, context: ContextMode = ..., **options: Unpack[ShapeOptions]
    ) -> ShapedAnswer[Any]: ...
    def __call__(self, prompt: str, **options: Any) -> Any:
        """Send a prompt, wait for the answer and remember both."""
        return self.stream(prompt, **options).result()

    def stream(self, prompt: str, **options: Any) -> Any:
        """Send a prompt and return its stream, a `ShapedStream` where the answer has a shape.

        The options are those of `Chat.stream`, and a shape.
        """
        callbacks = {name: options.pop(name, None) for name in ("show_progress", "on_begin")}
        shape = take_shape(options)
        asked = asked_with(prompt, options)
        if shape is None:
            return self.send(asked, **callbacks)[0]
        stream, sending = self.send(asked_in_chat(asked, shape), **callbacks)
        return ShapedStream(stream, shape, sending.request, sending.engine)
