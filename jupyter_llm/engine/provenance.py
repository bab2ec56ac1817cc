"""The record of how a text was made: its model, and all that is needed to write it again.

Pure values. A record is converted to JSON for the metadata of an output or a cell, and back. A
notebook may come from anybody, so reading checks every field. The digest shows whether a record was
edited; it is no signature, since an editor can compute a new one.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from jupyter_llm.engine.options import DRAWN, FinishReason, KvType, SamplingParams
from jupyter_llm.errors import OptionError, ProvenanceError

if TYPE_CHECKING:
    from jupyter_llm.engine.info import ModelInfo

METADATA_KEY = "jupyter_llm"
"""The key of records in the metadata of outputs and cells."""

VERSION = 1
"""The version of the JSON; other versions are not read."""

RecordKind = Literal["answer", "code cell"]
LaneName = Literal["fast", "exact"]

_ID_LENGTH = 12
_MAX_LICENSE = 200  # characters; some files contain the whole text
_MAX_COUNT = 2**53  # larger integers lose digits in a front end
# Fields that older records lack, with their meaning there.
_MAY_BE_MISSING = {
    "may_repeat": True,
    "is_constrained": False,
    "constraint_sha256": None,
    "think": None,
    "reasoning_sha256": None,
    "pieces": None,
    "reason": 0,
    "host": "",
}
# The seed and the lane have their own fields, and log-probabilities do not change the text.
_APART = ("seed", "exact", "logprobs")
_SAMPLING = [option.name for option in fields(SamplingParams) if option.name not in _APART]


def text_sha256(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def token_sha256(token_ids: Sequence[int]) -> str:
    """Return the SHA-256 of token ids, each as a little-endian signed 32-bit number."""
    return hashlib.sha256(struct.pack(f"<{len(token_ids)}i", *token_ids)).hexdigest()


@cache
def machine_name() -> str:
    """Return a short, anonymous name for this kind of processor."""
    from jupyter_llm.models.machine import this_machine  # only once there is an answer

    return this_machine(1).processor


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The model that wrote: its name, and its file.

    `sha256` is the file's, None if it was not computed yet: hashing must not delay an answer.
    `host` is the server that read the prompt, "" for this process.
    """

    name: str
    file: str
    sha256: str | None
    quantization: str
    license: str | None
    host: str = ""

    @classmethod
    def of(cls, info: ModelInfo, sha256: str | None) -> Self:
        """Return the facts of a loaded model."""
        return cls(
            name=_sound(info.name),
            file=_sound(info.path.name),
            sha256=sha256,
            quantization=_sound(info.quantization),
            license=_sound(info.license)[:_MAX_LICENSE] if info.license is not None else None,
            host=_sound(info.host),
        )


def _sound(text: str) -> str:
    """Return a text without lone surrogates, which file names may contain and JSON may not."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """The settings of the computation that may change the text.

    In the exact lane only `n_gpu_layers` and `repack` do; in the fast lane all do. A server's
    settings are unknown, except for its window.
    """

    lane: LaneName = "fast"
    n_ctx: int
    n_batch: int = 0
    kv_type: KvType = "f16"
    flash_attention: bool = False
    n_gpu_layers: int | None = None
    repack: bool | None = None
    full_window: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """The writer of a text: the model, its settings, and llama.cpp's build."""

    model: ModelFacts
    context: ContextSettings
    build: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The record of how a text was made.

    `params` replay it: their seed is the one used, drawn or set, and their `exact` is the lane.
    `exact` says whether the same text was promised. The hashes cover the prompt's token ids, the
    model's text, its thoughts, and, for code inserted into a cell, the cell's source then. `pieces`
    identify the inserted lines. `is_constrained`: the model was not free, see `Request.constraint`;
    older records lack that hash.

    A record that was read keeps its stated digest, so that `is_altered` shows an edit.
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
    kind: RecordKind = "answer"
    source_sha256: str | None = None
    is_constrained: bool = False
    constraint_sha256: str | None = None
    reasoning_sha256: str | None = None
    pieces: str | None = None
    stated_digest: str | None = field(default=None, repr=False, compare=False)

    @property
    def prompt_key(self) -> str:
        """Return the key under which its prompt and constraint are stored."""
        if self.constraint_sha256 is None:
            return self.prompt_sha256
        return text_sha256(f"{self.prompt_sha256} {self.constraint_sha256}")

    @property
    def digest(self) -> str:
        """Return the SHA-256 of all other fields, as canonical JSON."""
        return hashlib.sha256(_compact(self._content()).encode("ascii")).hexdigest()

    @property
    def record_id(self) -> str:
        """Return a short name: the first digits of the stated digest, or else of the digest."""
        return (self.stated_digest or self.digest)[:_ID_LENGTH]

    @property
    def is_altered(self) -> bool:
        """Whether the record was edited since it was written."""
        return self.stated_digest is not None and self.stated_digest != self.digest

    def to_json(self) -> dict[str, Any]:
        """Return the record for JSON, with its digest."""
        return {**self._content(), "digest": self.stated_digest or self.digest}

    def to_metadata(self) -> dict[str, Any]:
        """Return the metadata of an output that shows the text: the record as one line of JSON."""
        return {METADATA_KEY: self.to_line()}

    def to_line(self) -> str:
        """Return the record as one line of JSON, since a notebook file breaks objects into many."""
        return _compact(self.to_json())

    def _content(self) -> dict[str, Any]:
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        del content["params"], content["stated_digest"]
        sampling = {name: _plain(getattr(self.params, name)) for name in _SAMPLING}
        model = asdict(self.model)
        for part in (content, sampling, model):
            for name in part.keys() & _MAY_BE_MISSING:
                if part[name] is _MAY_BE_MISSING[name]:
                    del part[name]
        return {
            **content,
            "version": VERSION,
            "model": model,
            "context": asdict(self.context),
            "seed": self.params.seed,
            "sampling": sampling,
        }

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read a record from JSON, parsed or as text; `ProvenanceError` if it is invalid."""
        from msgspec import DecodeError, ValidationError, convert
        from msgspec.json import decode
        from msgspec.structs import asdict as content_of

        if isinstance(data, str):
            with suppress(DecodeError, RecursionError):  # invalid JSON fails below
                data = decode(data)
        if isinstance(data, Mapping) and data.get("version", VERSION) != VERSION:
            raise ProvenanceError(f"is not of version {VERSION}, which is what is read here.")
        try:
            record = content_of(convert(data, _record_type()))
        except ValidationError:  # its message may quote the file
            raise ProvenanceError("is damaged: its fields are not as we write them.") from None
        del record["version"]
        digest, seed = record.pop("digest"), record.pop("seed")
        record["model"] = ModelFacts(**content_of(record["model"]))
        record["context"] = context = ContextSettings(**content_of(record["context"]))
        sampling = content_of(record.pop("sampling"))
        try:
            params = SamplingParams(**sampling, seed=seed, exact=context.lane == "exact")
        except (OptionError, TypeError):
            raise ProvenanceError("is damaged: its sampling options are out of range.") from None
        return cls(**record, params=params, stated_digest=digest)


def _compact(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Return a sampling option for JSON, which has no infinity."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):  # may be a subclass
        return int(value)
    return str(value) if value in (float("inf"), float("-inf")) else value


@cache
def _record_type() -> Any:
    """Return the type of a record's JSON: objects with exactly these fields."""
    from msgspec import Meta, defstruct

    sha256: Any = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    time: Any = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]
    number: Any = Annotated[int, Meta(gt=-_MAX_COUNT, lt=_MAX_COUNT)]
    count: Any = Annotated[int, Meta(ge=0, lt=_MAX_COUNT)]
    bias = tuple[tuple[int, float | Literal["-inf"]], ...]
    drawn: dict[str, Any] = dict.fromkeys(DRAWN, float) | {"top_k": int}  # always set

    def object_of(kind: type, *left_out: str, **narrower: Any) -> Any:
        hints = {**get_type_hints(kind), **narrower}
        typed_fields = [
            (name, hint, _MAY_BE_MISSING[name]) if name in _MAY_BE_MISSING else (name, hint)
            for name, hint in hints.items()
            if name not in left_out
        ]
        return defstruct(kind.__name__, typed_fields, forbid_unknown_fields=True, kw_only=True)

    return object_of(
        Provenance,
        *("params", "stated_digest"),
        version=int,
        model=object_of(ModelFacts, sha256=sha256 | None),
        seed=count | None,
        sampling=object_of(SamplingParams, *_APART, logit_bias=bias, **drawn),
        context=object_of(ContextSettings, n_ctx=count, n_batch=count, n_gpu_layers=number | None),
        **dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens"), count),
        **dict.fromkeys(("prompt_sha256", "text_sha256", "digest"), sha256),
        **dict.fromkeys(("source_sha256", "constraint_sha256", "reasoning_sha256"), sha256 | None),
        time=time,
    )
