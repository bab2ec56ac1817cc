"""All exceptions for users, in one tree below `JupyterLLMError`.

PromptInterrupted and DownloadInterrupted (KeyboardInterrupt) are outside the tree: the user causes
them, and code that handles KeyboardInterrupt must continue to work. PromptInterrupted, BatchError
and ShapeError contain completions, so they are defined in engine.completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def _did_you_mean(close_matches: Sequence[str]) -> str:
    return f" Did you mean {' or '.join(close_matches)}?" if close_matches else ""


class OneLine(BaseException):
    """An exception that shows as one line in a notebook instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython prints, by its protocol for exceptions."""
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple[object, ...]:
        """Return the parts of a copy with all attributes, not made from the message."""
        return _copy, (type(self), self.args), self.__dict__


def _copy(kind: type[BaseException], args: tuple[object, ...]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class JupyterLLMError(OneLine, Exception):
    """Base of all exceptions that jupyter_llm raises on purpose."""


class ModelNotFoundError(JupyterLLMError, LookupError):
    """No model has this name, or there is none on this machine.

    `folders` are those that were searched.
    """

    def __init__(
        self,
        name: str,
        close_matches: Sequence[str] = (),
        message: str | None = None,
        folders: Sequence[str] = (),
    ) -> None:
        searched = f" Searched: {', '.join(folders)}." if folders else ""
        super().__init__(
            message
            or f"No model named {name!r}.{_did_you_mean(close_matches)}"
            f" `%llm /models` lists what can be loaded.{searched}"
        )
        self.name = name
        self.close_matches = tuple(close_matches)


class ModelFileError(JupyterLLMError, OSError):
    """The model file is missing, damaged, or not a GGUF file."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class ModelLoadError(JupyterLLMError, RuntimeError):
    """llama.cpp refused the file or could not set up its context."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name} cannot be loaded: {reason}")
        self.path = path


class NotEnoughMemoryError(ModelLoadError):
    """The model and its KV cache exceed the free memory; nothing was loaded.

    `n_ctx` is the largest context window that would fit, None if none would.
    """

    def __init__(
        self, path: Path, reason: str, *, needed_bytes: int, free_bytes: int, n_ctx: int | None
    ) -> None:
        super().__init__(path, reason)
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes
        self.n_ctx = n_ctx


class DownloadError(JupyterLLMError, OSError):
    """A model cannot be downloaded from the Hugging Face hub; received parts are kept."""


class LicenceError(DownloadError):
    """A model's licence has conditions that the user has not accepted.

    `text` is the licence file of the model, "" if there is none.
    """

    def __init__(self, conditions: str, asked: str, *, licence: str, text: str) -> None:
        super().__init__(
            f"{conditions} Nothing was downloaded. If you accept the licence: "
            f"`%llm /pull {asked} --accept-licence`."
        )
        self.conditions = conditions
        self.licence = licence
        self.text = text


class EmptyPromptError(JupyterLLMError, ValueError):
    """The prompt is empty."""

    def __init__(self) -> None:
        super().__init__("The prompt is empty. Write a question or a task.")


class ContextOverflowError(JupyterLLMError, ValueError):
    """The prompt does not fit the model's context window."""

    def __init__(self, num_tokens: int, n_ctx: int, *, is_least: bool = False) -> None:
        size = f"more than {num_tokens}" if is_least else num_tokens
        super().__init__(
            f"The prompt is {size} tokens, but the context window is {n_ctx}. Shorten the "
            "prompt, start a new chat with --new, or load the model with a larger window: "
            "llm.use(n_ctx=…)."
        )
        self.num_tokens = num_tokens
        self.n_ctx = n_ctx


class TurnNotFoundError(JupyterLLMError, LookupError):
    """A chat has no turn with this number: it was removed, or never finished."""

    def __init__(self, number: int, chat: str | None) -> None:
        name = f"Chat {chat!r}" if chat is not None else "The chat"
        super().__init__(f"{name} has no turn {number}. It may have been deleted.")
        self.number = number


class ChatNameError(JupyterLLMError, ValueError):
    """A chat's name does not exist, is used already, or is invalid."""


class EngineError(JupyterLLMError, RuntimeError):
    """The engine failed while it ran a request."""


class EngineClosedError(EngineError):
    """The engine was closed: the model was unloaded, or the process forked."""


class ServeError(JupyterLLMError, RuntimeError):
    """The models cannot be served to other programs."""


class MissingLibraryError(JupyterLLMError, ImportError):
    """An optional library is not installed; `extra` installs it."""

    def __init__(self, what: str, error: ImportError, extra: str) -> None:
        library = (error.name or "a library").partition(".")[0]
        super().__init__(
            f"{what} needs {library}, which is not installed: `%pip install jupyter-llm[{extra}]`."
        )


class ServerError(EngineError):
    """A server cannot be reached, refuses, or does not follow OpenAI's protocol.

    `host` names it; `status` is HTTP's, 0 if there was none. `may_pass`: a retry may succeed.
    """

    def __init__(self, host: str, reason: str, *, status: int = 0, may_pass: bool = False) -> None:
        super().__init__(f"{host} {reason}")
        self.host = host
        self.status = status
        self.may_pass = may_pass


class OptionError(JupyterLLMError, ValueError):
    """An option is unknown or out of range."""


class MagicUsageError(OptionError):
    """An option or a command of `%llm` is wrong; `hint` gives the right one."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".rstrip())
        self.hint = hint


class NotAllowedError(JupyterLLMError, RuntimeError):
    """Text would be sent to a server, or a function would run, without your consent."""


class InterpolationError(JupyterLLMError, ValueError):
    """An expression in a prompt or an option could not be evaluated."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(f"{{{{{expression}}}}} failed: {reason}")
        self.expression = expression


class PanelFilesError(JupyterLLMError, OSError):
    """The files of the chat panel are missing."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            "The chat panel's files are missing. In a clone, run `python3 dev.py build`; "
            "elsewhere, install jupyter_llm again."
        )
        self.path = path


class LabExtensionError(JupyterLLMError, RuntimeError):
    """The JupyterLab extension is missing, has another version, or cannot be installed."""


class ProvenanceError(JupyterLLMError, ValueError):
    """A record of how a text was made is invalid or damaged."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The record {reason}")
        self.reason = reason


class NotebookFileError(JupyterLLMError, OSError):
    """A notebook file cannot be read or written, or is invalid."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class NoNotebookError(JupyterLLMError, RuntimeError):
    """Code cannot be inserted into a cell, since there are no cells."""

    def __init__(self) -> None:
        super().__init__("There is no notebook to insert the code into. Copy the code instead.")


class DocumentError(JupyterLLMError, ValueError):
    """An edit from a front end does not fit the notebook's cells."""


class UndoError(JupyterLLMError, RuntimeError):
    """The old values of variables cannot be kept or restored. No variable was changed."""


class DownloadInterrupted(OneLine, KeyboardInterrupt):
    """The user interrupted a pull."""

    def __init__(self, progress: str) -> None:
        super().__init__(f"stopped at {progress}. Pull again to resume the download.")
