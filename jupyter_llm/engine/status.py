"""The loaded models, as a value that shows as a small table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jupyter_llm.common.bundle import Rich
from jupyter_llm.common.markdown import Markdown, untrusted_markdown
from jupyter_llm.common.tables import count_of, human_size, markdown_table
from jupyter_llm.engine.info import EngineStatus, ModelInfo
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.roles import ModelRole, role_words
from jupyter_llm.models.neighbours import Neighbour

_PROMISE = {
    None: "not tested yet: the first text with a seed or at temperature 0 does that",
    True: "yes, by a self-test on this machine",
    False: "no: the self-test failed on this machine",
}


def _template(info: ModelInfo, engine: EngineStatus) -> Iterator[tuple[str, str]]:
    """Yield the chat template in use, if it is not the file's."""
    if not info.has_chat_template:
        yield "chat template", "none (a base model): a dialogue in plain words"
    elif engine.template_trouble:
        yield "chat template", f"a generic one, since the file's own {engine.template_trouble}"


def _memory(info: ModelInfo, engine: EngineStatus) -> Iterator[tuple[str, str]]:
    """Yield the memory by purpose: the context window, and the rest."""
    size = human_size(engine.kv_bytes)
    room = f"{size} for {engine.room:,} tokens, {engine.num_used:,} used"
    yield "memory for the conversation", f"{room} (a KV cache in {info.kv_type})"
    if engine.exact_cells:  # there is a second cache
        size = human_size(engine.exact_bytes)
        room = f"{size} more, for {engine.exact_cells:,} tokens"
        yield (
            "memory for texts with a seed",
            f"{room}; it is freed after 5 minutes without such a request",
        )
    elif engine.promised_bytes:
        size = human_size(engine.promised_bytes)
        yield "memory for texts with a seed", f"none yet; up to {size} more when one is asked for"
    yield "memory in all", f"{human_size(engine.process_bytes)}, with the model and your variables"


def _requests(engine: EngineStatus) -> str:
    """Return the numbers of requests, and how many of them other programs sent."""
    text = f"{engine.num_running} running, {engine.num_waiting} waiting"
    return f"{text}; {engine.num_guests} of them from guests" if engine.num_guests else text


def _kernels_memory(neighbours: Iterable[Neighbour]) -> str:
    """Return the memory of other kernels' models, each model once."""
    sizes: dict[str, list[int]] = {}
    for one in neighbours:
        sizes.setdefault(one.name, []).append(one.held_bytes)
    return "; ".join(
        f"{name} ({f'{len(each)} times, ' if len(each) > 1 else ''}{human_size(sum(each))})"
        for name, each in sizes.items()
    )


def _attention(info: ModelInfo) -> str:
    """Return whether flash attention is on, and the measured times if there are any."""
    state = "on" if info.flash_attention else "off"
    return f"{state}: {info.attention}" if info.attention else state


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A resident model and its uses."""

    info: ModelInfo
    roles: tuple[ModelRole, ...] = ()

    def __str__(self) -> str:
        purpose = role_words(self.roles) or "prompts that name it"
        size = f"{human_size(self.info.size_bytes)}, " if not self.info.host else ""
        return f"{self.info.name} ({size}for {purpose})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Rich):
    """The model of chats and its state; both None while it is not loaded.

    `asked` are the user's sampling options, for the row "sampling". `residents` are all loaded
    models by last use, `neighbours` those of other kernels. `served_at` is the address for other
    programs. `kept_runs`: the runs that `/undo` can undo.
    """

    info: ModelInfo | None
    engine: EngineStatus | None
    asked: SamplingParams = field(default_factory=SamplingParams)
    residents: tuple[Loaded, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    served_at: str = ""
    kept_runs: str = ""

    @property
    def is_loaded(self) -> bool:
        """Whether a model is resident."""
        return self.info is not None or bool(self.residents)

    def rows(self) -> list[tuple[str, str]]:
        """Return the table's rows, as pairs of a name and a value."""
        info, engine = self.info, self.engine
        others = [one for one in self.residents if one.info != info]
        beside = [("loaded beside it", "; ".join(map(str, others)))] if others else []
        if self.neighbours:
            beside.append(("other kernels hold", _kernels_memory(self.neighbours)))
        if self.served_at:
            beside.append(("served at", self.served_at))
        if self.kept_runs:
            beside.append(("kept for `/undo`", self.kept_runs))
        if info is None or engine is None:
            text = "none loaded; the first prompt loads one, and `/models` lists their sizes"
            return [("model", text), *beside]
        speed = f"{engine.tokens_per_s:.0f} tokens/s" if engine.tokens_per_s else "none"
        window = f"{info.n_ctx:,} tokens"
        drawn = ("sampling", info.sampling.described(self.asked))
        done = [("requests", _requests(engine)), ("last answer", speed)]
        if info.host:
            sent = f"{info.host}: prompts with their context, code at the cursor"
            name = f"`{info.name}`"  # or Markdown makes it a mail address
            destination = [("text is sent to", sent), ("context window", window)]
            return [("model", name), *beside, *destination, drawn, *done]
        sizes = [prefix.num_tokens for prefix in engine.prefixes]
        read = f"{sum(sizes):,} tokens of {count_of(len(sizes), 'text')}" if sizes else "nothing"
        return [
            ("model", info.name),
            *beside,
            ("file", str(info.path)),
            ("size", f"{human_size(info.size_bytes)}, {info.quantization}, {info.architecture}"),
            ("licence", info.license or "not stated in the file"),
            *_template(info, engine),
            ("context window", f"{window} (trained for {info.n_ctx_train:,})"),
            drawn,
            *_memory(info, engine),
            ("read already", read),
            *done,
            ("threads", f"{engine.n_threads} of {info.n_threads}"),
            ("same seed, same text", _PROMISE[engine.is_exact]),
            ("flash attention", _attention(info)),
            ("build", info.build),
        ]

    def to_markdown(self) -> str:
        """Return the table as Markdown; texts from the model file are not made safe."""
        return markdown_table(("", ""), self.rows())

    def _markup(self) -> Markdown:
        # A model file may state any text as its licence or architecture.
        return untrusted_markdown(self.to_markdown())

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.rows())

    def __repr__(self) -> str:
        return str(self)
