"""What is loaded, as a value that shows as a small table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_llm.common.markdown import untrusted_markdown
from jupyter_llm.common.tables import human_size, markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_llm.engine.info import EngineStatus, ModelInfo, ResidentPrefix


_PREFIX_HEADER = ("tokens read", "of", "context", "state")
_EXACTNESS = {
    None: "none yet",
    True: "yes, by a self-test on this machine",
    False: "no: the self-test failed on this machine",
}


def _states(prefix: ResidentPrefix) -> Iterator[str]:
    yield "running" if prefix.is_busy else "parked" if prefix.is_parked else "resident"
    if prefix.is_pinned:
        yield "pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The resident model and what it holds; both None while nothing is loaded."""

    info: ModelInfo | None
    engine: EngineStatus | None

    @property
    def is_loaded(self) -> bool:
        """Whether a model is resident."""
        return self.info is not None

    def rows(self) -> list[tuple[str, str]]:
        """What there is to say, as pairs of a name and a value."""
        info, engine = self.info, self.engine
        if info is None or engine is None:
            return [("model", "none loaded; the first prompt loads one")]
        return [
            ("model", info.name),
            ("file", str(info.path)),
            *([("tuned copy in use", str(info.tuned_copy))] if info.tuned_copy else []),
            ("size", f"{human_size(info.size_bytes)}, {info.quantization}, {info.architecture}"),
            ("licence", info.license or "not stated in the file"),
            ("context window", f"{info.n_ctx} tokens (trained for {info.n_ctx_train})"),
            ("KV cache", self._kv_cache(info, engine)),
            ("requests", f"{engine.num_running} running, {engine.num_waiting} waiting"),
            (
                "last answer",
                f"{engine.tokens_per_s:.0f} tokens/s" if engine.tokens_per_s else "none",
            ),
            ("threads", f"{engine.n_threads} of {info.n_threads}"),
            ("process memory", human_size(engine.process_bytes)),
            ("exact answers", _EXACTNESS[engine.is_exact]),
            ("flash attention", "on" if info.flash_attention else "off"),
            ("build", info.build),
        ]

    @staticmethod
    def _kv_cache(info: ModelInfo, engine: EngineStatus) -> str:
        num_used = min(sum(engine.resident_tokens), engine.num_cells)
        size = human_size(engine.kv_bytes)
        return f"{size} for {engine.num_cells} tokens ({info.kv_type}), {num_used} used"

    def prefix_rows(self) -> list[tuple[str, str, str, str]]:
        """What of prompts and answers need not be read again, the latest used first."""
        prefixes = self.engine.prefixes if self.engine is not None else ()
        return [
            (
                str(prefix.num_tokens),
                prefix.conversation or "one prompt",
                "exact" if prefix.is_exact else "fast",
                ", ".join(_states(prefix)),
            )
            for prefix in prefixes
        ]

    def to_markdown(self) -> str:
        """Everything as tables; texts from the model file are not made safe."""
        tables = [markdown_table(("", ""), self.rows())]
        if prefixes := self.prefix_rows():
            tables.append(markdown_table(_PREFIX_HEADER, prefixes))
        return "\n\n".join(tables)

    def _repr_markdown_(self) -> str:
        # A licence or an architecture is whatever the model file says it is.
        return untrusted_markdown(self.to_markdown())

    def __str__(self) -> str:
        lines = [f"{name}: {value}" for name, value in self.rows()]
        lines += [
            f"{num_tokens} tokens of {conversation} ({context} context, {state})"
            for num_tokens, conversation, context, state in self.prefix_rows()
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)
