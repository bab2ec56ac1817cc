"""What is known of a loaded model, and what it holds at the moment."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, Self

from jupyter_llm.engine.attention import AttentionTimes
from jupyter_llm.engine.options import KvType
from jupyter_llm.engine.recommended import Recommended

Work = Literal["idle", "reading", "writing"]
"""What an engine does: nothing, read prompts, or write for at least one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FimTokens:
    """The texts of the control tokens with which a model fills in the middle of a file.

    `pad` may end what it writes; `repository` and `file_separator` stand before a name. A
    completion ends at any of them.
    """

    prefix: str
    suffix: str
    middle: str
    pad: str | None = None
    repository: str | None = None
    file_separator: str | None = None

    @classmethod
    def of(cls, known: Mapping[str, str], control_texts: Container[str]) -> Self | None:
        """Those of a vocabulary; `known` are the texts that llama.cpp found by their names here.

        It knows no `<repo_name>` and no `<file_sep>`, as StarCoder's makers wrote them.
        """
        texts = {"repository": "<repo_name>", "file_separator": "<file_sep>"}
        texts |= {name: text for name, text in known.items() if text}
        texts = {name: text for name, text in texts.items() if text in control_texts}
        return cls(**texts) if {"prefix", "suffix", "middle"} <= texts.keys() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookTokens:
    """The texts of the control tokens of notebooks: at their start, and before each kind of cell.

    A completion ends at any of them.
    """

    start: str
    text: str
    code: str
    output: str

    @classmethod
    def of(cls, control_texts: Container[str]) -> Self | None:
        """Those of a vocabulary: SmolLM's and StarCoder's have them."""
        texts = {field.name: f"<jupyter_{field.name}>" for field in fields(cls)}
        return cls(**texts) if all(text in control_texts for text in texts.values()) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of a loaded model.

    `attention` is what was measured of flash attention here, where that was asked.
    `sampling` is how its tokens are drawn where a prompt does not say. `fim` and `notebook` are
    None where its vocabulary has no such tokens. `num_at_once` is how many requests of a batch its
    engine is to have: more than it works on, and few to hold.

    `host` names the server that runs it, and is empty where that is this process. Of such a model
    nothing lies here: its `path` is an empty one, and `identity` stands for a file's SHA-256.
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
    """What an engine does at this moment.

    `prefixes` are the latest used first; those that share a start each count it. `room` is that of
    the KV cache in tokens and `kv_bytes` what it takes; `exact_cells` and `exact_bytes` are those
    of the second one, of promised texts, where there is one; while there is none, `promised_bytes`
    is what it would take at most, with its buffers. `tokens_per_s` is the speed of
    the last completion, `process_bytes` the memory of the process, `template_trouble` why another
    chat template than the file's is used. `num_guests` of the requests are other programs'.
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
        """How much of that room is used."""
        is_one = not self.exact_cells  # nothing is read apart from the others
        here = (one for one in self.prefixes if not one.is_parked and (is_one or not one.is_exact))
        return min(sum(one.num_tokens for one in here), self.room)
