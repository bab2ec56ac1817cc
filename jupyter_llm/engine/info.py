"""Facts about a loaded model, and its present state."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, Self

from jupyter_llm.engine.attention import AttentionTimes
from jupyter_llm.engine.options import KvType
from jupyter_llm.engine.recommended import Recommended

Work = Literal["idle", "reading", "writing"]
"""An engine's activity: none, reading prompts, or writing at least one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FimTokens:
    """The texts of a model's control tokens for filling in the middle of a file.

    `pad` may end the model's text; `repository` and `file_separator` precede a name. A completion
    ends at any of them.
    """

    prefix: str
    suffix: str
    middle: str
    pad: str | None = None
    repository: str | None = None
    file_separator: str | None = None

    @classmethod
    def of(cls, identified: Mapping[str, str], control_texts: Container[str]) -> Self | None:
        """Return the tokens of a vocabulary; `identified` are those that llama.cpp has identified.

        It does not identify `<repo_name>` and `<file_sep>`, which StarCoder has.
        """
        texts = {"repository": "<repo_name>", "file_separator": "<file_sep>"}
        texts |= {name: text for name, text in identified.items() if text}
        texts = {name: text for name, text in texts.items() if text in control_texts}
        return cls(**texts) if {"prefix", "suffix", "middle"} <= texts.keys() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookTokens:
    """The texts of a model's control tokens for notebooks: start, and kinds of cells.

    A completion ends at any of them.
    """

    start: str
    text: str
    code: str
    output: str

    @classmethod
    def of(cls, control_texts: Container[str]) -> Self | None:
        """Return the tokens of a vocabulary; SmolLM's and StarCoder's have them."""
        texts = {field.name: f"<jupyter_{field.name}>" for field in fields(cls)}
        return cls(**texts) if all(text in control_texts for text in texts.values()) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Facts about a loaded model.

    `attention` are the measured times of flash attention here, if any. `sampling` are the defaults
    for drawing tokens. `fim` and `notebook` are None if the vocabulary lacks such tokens.
    `num_at_once` is the number of a batch's requests to submit at once: more than the engine works
    on, and few enough to hold.

    `host` is the server that runs the model, "" for this process. A server's model has an empty
    `path`, and `identity` in place of a file's SHA-256.
    """

    name: str
    path: Path = Path()
    architecture: str = ""
    quantization: str = ""
    size_bytes: int = 0
    license: str | None = None
    n_ctx: int
    n_ctx_train: int = 0
    n_vocab: int = 0
    n_threads: int = 0
    flash_attention: bool = False
    has_chat_template: bool = True
    build: str
    kv_type: KvType = "f16"
    kv_bytes: int = 0
    attention: AttentionTimes | None = None
    num_parameters: int = 0
    sampling: Recommended = field(default_factory=Recommended)
    fim: FimTokens | None = None
    notebook: NotebookTokens | None = None
    num_at_once: int = 256
    host: str = ""
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentPrefix:
    """Tokens that a prompt may begin with, in the KV cache or parked beside it."""

    num_tokens: int
    conversation: str | None = None
    is_pinned: bool = False
    is_parked: bool = False
    is_exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """The present state of an engine.

    `prefixes` are sorted by last use; a common beginning counts in each. `room` is the size of the
    KV cache in tokens and `kv_bytes` in bytes. `exact_cells` and `exact_bytes` are those of the
    second cache, for promised texts, if it exists; if not, `promised_bytes` is its largest size
    with buffers.

    `tokens_per_s` is the speed of the last completion, `process_bytes` the memory of the process,
    and `template_trouble` the reason why the file's chat template is not used. `num_guests` of the
    requests come from other programs.
    """

    num_running: int = 0
    num_waiting: int = 0
    prefixes: tuple[ResidentPrefix, ...] = ()
    room: int = 0
    kv_bytes: int = 0
    exact_cells: int = 0
    exact_bytes: int = 0
    promised_bytes: int = 0
    n_threads: int = 1
    tokens_per_s: float = 0.0
    process_bytes: int = 0
    is_exact: bool | None = None
    template_trouble: str = ""
    num_guests: int = 0

    @property
    def num_used(self) -> int:
        """Return the used part of `room`."""
        has_one_cache = not self.exact_cells  # there is no second cache
        here = (
            one
            for one in self.prefixes
            if not one.is_parked and (has_one_cache or not one.is_exact)
        )
        return min(sum(one.num_tokens for one in here), self.room)
