"""What is loaded, as a value that shows as a small table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_llm.markdown import untrusted_markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jupyter_llm.engine.base import EngineStatus, ModelInfo


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; what would break a cell's border is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )


def human_size(num_bytes: int) -> str:
    """Return a size as people write it: `98.4 MB`, powers of ten as on disks."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


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
        """Return what there is to say, as pairs of a name and a value."""
        info, engine = self.info, self.engine
        if info is None or engine is None:
            return [("model", "none loaded; the first prompt loads one")]
        resident = engine.resident_tokens
        return [
            ("model", info.name),
            ("file", str(info.path)),
            *([("tuned copy in use", str(info.tuned_copy))] if info.tuned_copy else []),
            ("size", f"{human_size(info.size_bytes)}, {info.quantization}, {info.architecture}"),
            ("licence", info.license or "not stated in the file"),
            ("context window", f"{info.n_ctx} tokens (trained for {info.n_ctx_train})"),
            ("KV cache", f"{human_size(info.kv_bytes)}, {info.kv_type}"),
            ("resident", f"{sum(resident)} tokens, in {len(resident)} of the KV cache's sequences"),
            ("requests", f"{engine.num_running} running, {engine.num_waiting} waiting"),
            ("threads", str(info.n_threads)),
            ("flash attention", "on" if info.flash_attention else "off"),
            ("build", info.build),
        ]

    def _repr_markdown_(self) -> str:
        # A licence or an architecture is whatever the model file says it is.
        return untrusted_markdown(markdown_table(("", ""), self.rows()))

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.rows())

    def __repr__(self) -> str:
        return str(self)
