"""How a text was made, as a record that goes along with it: who wrote it, and all that replays it.

Pure values. A record turns into JSON for the metadata of an output or a cell and back; what comes
from a notebook is somebody else's word, so reading checks every field. The digest tells a record
that was edited from one that was not; it is no signature, since whoever edits can count it anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from jupyter_llm._version import __version__
from jupyter_llm.engine.base import FinishReason, KvType, SamplingParams
from jupyter_llm.errors import OptionError, ProvenanceError

if TYPE_CHECKING:
    from jupyter_llm.engine.base import ModelInfo, Usage

METADATA_KEY = "jupyter_llm"
"""Where records stand in the metadata of outputs and cells."""

VERSION = 1
"""Of the JSON; what is not of this version is not read."""

Kind = Literal["answer", "code cell"]
LaneName = Literal["fast", "exact"]

_ID_LENGTH = 12
_MAX_LICENSE = 200  # characters; some files carry the whole text
_MAX_COUNT = 2**53  # beyond it a front end's numbers are no longer whole
_SHA256 = re.compile("[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# The seed and the lane stand apart, and log-probabilities change nothing in the text.
_APART = ("seed", "exact", "logprobs")
_SAMPLING = {
    option.name: option.default for option in fields(SamplingParams) if option.name not in _APART
}


def text_sha256(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def token_sha256(token_ids: Sequence[int]) -> str:
    """Return the SHA-256 of token ids, each as a little-endian signed 32-bit number."""
    return hashlib.sha256(struct.pack(f"<{len(token_ids)}i", *token_ids)).hexdigest()


@cache
def machine_name() -> str:
    """Return a short name for this kind of processor, which does not tell whose it is."""
    from jupyter_llm.engine.tuning.figures import this_machine

    return replace(this_machine(1), build="").key


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Which model wrote: its name, and the file that ran.

    `sha256` is that file's, or None where it was not known yet: hashing must not delay an answer.
    Of a copy that `/tune` made, `original` is the name of the file it was made of.
    """

    name: str
    file: str
    sha256: str | None
    original: str | None
    quantization: str
    license: str | None

    @classmethod
    def of(cls, info: ModelInfo, sha256: str | None) -> Self:
        """Return the facts of a loaded model."""
        return cls(
            name=_sound(info.name),
            file=_sound((info.tuned_copy or info.path).name),
            sha256=sha256,
            original=_sound(info.path.name) if info.tuned_copy else None,
            quantization=_sound(info.quantization),
            license=_short(_sound(info.license)) if info.license is not None else None,
        )


def _sound(text: str) -> str:
    """Return a text without halves of characters, which a file's name may hold and JSON may not."""
    return text.encode("utf-8", "replace").decode()


def _short(text: str) -> str:
    return text if len(text) <= _MAX_LICENSE else text[: _MAX_LICENSE - 1] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """How the text was computed, as far as that may change it.

    In the exact lane only `n_gpu_layers` and `repack` can; in the fast one all do.
    """

    lane: LaneName
    n_ctx: int
    n_batch: int
    kv_type: KvType
    flash_attention: bool
    n_gpu_layers: int | None
    repack: bool | None
    full_window: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """What wrote: the model, its settings, and the llama.cpp it ran on."""

    model: ModelFacts
    context: ContextSettings
    build: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a text was made.

    `params` replay it: their seed is the one that was used, drawn or given, and they ask for the
    lane it ran in. `exact` says whether the same text was promised. The hashes are over the token
    ids of the prompt, the text the model wrote and, for code that landed in a cell, its source.

    A record that was read keeps the digest it came with: `is_altered` tells that it was edited.
    """

    model: ModelFacts
    context: ContextSettings
    params: SamplingParams
    exact: bool
    prompt_sha256: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    finish_reason: FinishReason
    text_sha256: str
    build: str
    machine: str
    package: str
    time: str
    kind: Kind = "answer"
    source_sha256: str | None = None
    stated_digest: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_answer(
        cls,
        writer: Writer,
        params: SamplingParams,
        *,
        seed: int | None,
        exact: bool,
        prompt_ids: Sequence[int],
        text: str,
        usage: Usage,
        finish_reason: FinishReason,
    ) -> Self:
        """Record an answer that was written just now."""
        is_exact_lane = writer.context.lane == "exact"
        return cls(
            model=writer.model,
            context=writer.context,
            params=replace(params, seed=seed, exact=is_exact_lane, logprobs=None),
            exact=exact,
            prompt_sha256=token_sha256(prompt_ids),
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
            finish_reason=finish_reason,
            text_sha256=text_sha256(text),
            build=writer.build,
            machine=machine_name(),
            package=f"jupyter_llm {__version__}",
            time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    @property
    def digest(self) -> str:
        """The SHA-256 of everything else in the record, as canonical JSON."""
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    @property
    def record_id(self) -> str:
        """A short name: the first digits of the digest, for a record that was read of its own."""
        return (self.stated_digest or self.digest)[:_ID_LENGTH]

    @property
    def is_altered(self) -> bool:
        """Whether the record was edited since it was written."""
        return self.stated_digest is not None and self.stated_digest != self.digest

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON holds it, its digest included."""
        return {**self._content(), "digest": self.stated_digest or self.digest}

    def to_metadata(self) -> dict[str, Any]:
        """Return the metadata of an output that shows the text."""
        return {METADATA_KEY: self.to_json()}

    def _content(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "kind": self.kind,
            "model": asdict(self.model),
            "seed": self.params.seed,
            "exact": self.exact,
            "sampling": {name: _plain(getattr(self.params, name)) for name in _SAMPLING},
            "context": asdict(self.context),
            **{name: getattr(self, name) for name in _SIMPLE},
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read a record that somebody wrote.

        Raises
        ------
        ProvenanceError
            It is no record, of another version, or damaged; the message names the field.
        """
        if isinstance(data, Mapping) and data.get("version", VERSION) != VERSION:
            raise ProvenanceError(f"is not of version {VERSION}, which is what is read here.")
        record = _checked(data, _RECORD, "the record")
        context = ContextSettings(**_checked(record["context"], _CONTEXT, "context"))
        return cls(
            model=ModelFacts(**_checked(record["model"], _MODEL, "model")),
            context=context,
            params=_params(record["sampling"], seed=record["seed"], exact=context.lane == "exact"),
            exact=record["exact"],
            kind=record["kind"],
            stated_digest=record["digest"],
            **{name: record[name] for name in _SIMPLE},
        )


def _plain(value: Any) -> Any:
    """Return a sampling option as JSON has it, which knows no infinity."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if value in (float("inf"), float("-inf")) else value


Check = Callable[[Any], bool]


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _one_of(*choices: str) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_COUNT


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


_MODEL: dict[str, Check] = {
    "name": _is_text,
    "file": _is_text,
    "sha256": _optional(_is_sha256),
    "original": _optional(_is_text),
    "quantization": _is_text,
    "license": _optional(_is_text),
}
_CONTEXT: dict[str, Check] = {
    "lane": _one_of(*get_args(LaneName)),
    "n_ctx": _is_count,
    "n_batch": _is_count,
    "kv_type": _one_of(*get_args(KvType)),
    "flash_attention": _is_flag,
    "n_gpu_layers": _optional(_is_number),
    "repack": _optional(_is_flag),
    "full_window": _is_flag,
}
_SIMPLE: dict[str, Check] = {  # fields that stand in JSON as they are
    "prompt_sha256": _is_sha256,
    "prompt_tokens": _is_count,
    "cached_tokens": _is_count,
    "completion_tokens": _is_count,
    "finish_reason": _one_of(*get_args(FinishReason)),
    "text_sha256": _is_sha256,
    "source_sha256": _optional(_is_sha256),
    "build": _is_text,
    "machine": _is_text,
    "package": _is_text,
    "time": _is_time,
}
_RECORD: dict[str, Check] = {
    "version": _is_number,
    "kind": _one_of(*get_args(Kind)),
    "model": _is_object,
    "seed": _optional(_is_count),
    "exact": _is_flag,
    "sampling": _is_object,
    "context": _is_object,
    **_SIMPLE,
    "digest": _is_sha256,
}


def _checked(data: object, checks: Mapping[str, Check], what: str) -> Mapping[str, Any]:
    """Return an object that has these fields, no others, and in each what belongs there."""
    if not isinstance(data, Mapping):
        raise ProvenanceError(f"is no record: {what} is no object.")
    for name, check in checks.items():
        if name not in data:
            raise ProvenanceError(f"is damaged: {name} is missing in {what}.")
        if not check(data[name]):
            raise ProvenanceError(f"is damaged: {name} in {what} is not what it should be.")
    if len(data) > len(checks):
        raise ProvenanceError(f"is damaged: {what} has fields that do not belong there.")
    return data


def _params(data: Mapping[str, Any], *, seed: int | None, exact: bool) -> SamplingParams:
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in _SAMPLING or not _is_like(value, _SAMPLING[name]):
            raise ProvenanceError("is damaged, or newer: its sampling options are not known here.")
        values[name] = _tuples(value)
    try:
        return SamplingParams(**values, seed=seed, exact=exact)
    except (OptionError, TypeError):
        raise ProvenanceError("is damaged: its sampling options are out of range.") from None


def _is_like(value: Any, default: Any) -> bool:
    """Tell whether a value has the form of an option, where `SamplingParams` does not look."""
    if isinstance(default, tuple):
        return isinstance(value, list)
    return isinstance(value, bool) is isinstance(default, bool)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
