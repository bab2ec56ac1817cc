"""llama.cpp through its low-level calls. The only module that imports llama_cpp.

`Weights` is a loaded file with its vocabulary; `Context` is a KV cache over it that evaluates
batches. Both belong to the engine thread; only `Context.abort` may be called from elsewhere.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import llama_cpp as lib
import numpy as np

from jupyter_llm.common.nearest import nearest
from jupyter_llm.engine.info import FimTokens, NotebookTokens
from jupyter_llm.engine.local.native.cut_files import guard, was_cut
from jupyter_llm.engine.local.native.groups import fill_groups
from jupyter_llm.engine.local.native.memory import NUM_FILLERS, padded
from jupyter_llm.engine.local.native.sampler import GreedySampler, Pooler
from jupyter_llm.engine.local.native.system import c_library, pages
from jupyter_llm.engine.local.native.vocabulary import Vocabulary, cut_before, safe_marks
from jupyter_llm.engine.local.sched.batch import Batch, Decoded
from jupyter_llm.engine.local.sched.drawing import Sampler
from jupyter_llm.engine.options import KvType, SamplingParams
from jupyter_llm.errors import EngineError, ModelFileError, ModelLoadError, OptionError
from jupyter_llm.models.fingerprint import FileState

logger = logging.getLogger(__name__)

BUILD = f"llama-cpp-python {lib.__version__}"
HAS_GPU = bool(lib.llama_supports_gpu_offload())

_HEAD, _COUNT = 8, 4  # bytes in a state: what it is and whose; how many of something there are
_PENALTY_WINDOW = 64  # tokens that the repetition penalty looks back on; llama.cpp's own default
_ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR
_CONTINUED = 5  # GGML_LOG_LEVEL_CONT: goes on with the line before
_GPU = 1  # GGML_BACKEND_DEVICE_TYPE_GPU: memory of its own; integrated ones share the machine's
# Rotary positions of several numbers each; llama.cpp does not move what has such.
_MANY_FOLD = (lib.LLAMA_ROPE_TYPE_MROPE, lib.LLAMA_ROPE_TYPE_IMROPE)
# What llama.cpp makes of a text only if it is told to: `<unk>`, too.
_STEERING = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN
_DEFINED = lib.LLAMA_TOKEN_ATTR_USER_DEFINED  # what it makes of any text
_FIM: dict[str, Callable[[Any], int]] = {
    "prefix": lib.llama_vocab_fim_pre,
    "suffix": lib.llama_vocab_fim_suf,
    "middle": lib.llama_vocab_fim_mid,
    "pad": lib.llama_vocab_fim_pad,
    "repository": lib.llama_vocab_fim_rep,
    "file_separator": lib.llama_vocab_fim_sep,
}
_BEFORE_REASON = re.compile(".*error loading model: ")
_BYTE = "\x02"
_NOWHERE = 2**31 - 2  # a position that no token has
_KV_TYPES = {"f16": lib.GGML_TYPE_F16, "q8_0": lib.GGML_TYPE_Q8_0}


class _Log:
    """Keeps the last lines llama.cpp logged, so that none reaches the notebook.

    ipykernel shows in the running cell whatever a library writes to stderr.
    """

    def __init__(self) -> None:
        self.lines: deque[tuple[int, str]] = deque(maxlen=50)
        # llama.cpp keeps the bare pointer: without this reference the process would crash.
        self._callback = lib.llama_log_callback(self._append)
        lib.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _append(self, level: int, text: bytes, _user_data: object) -> None:
        line = text.decode("utf-8", "replace").rstrip("\n")
        if level == _CONTINUED and self.lines:
            level, start = self.lines.pop()
            line = start + line
        self.lines.append((level, line))

    def reason(self) -> str:
        """The first error of the log, without the name of the function that wrote it."""
        errors = [line for level, line in self.lines if level == _ERROR_LEVEL]
        if not errors:
            return "llama.cpp gave no reason."
        return _BEFORE_REASON.sub("", errors[0]) + "."


_log = _Log()


class Weights:
    """A model file in memory: its weights and its vocabulary.

    `on_progress` gets the loaded share from 0 to 1, on the loading thread, and returns False to
    stop. With `repack=False` llama.cpp does not lay out the weights anew for the kernels of this
    machine. `ModelLoadError` says why llama.cpp refused a file. Mapped weights are useless once a
    program writes to the file: see `check_file`.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_gpu_layers: int | None,
        on_progress: Callable[[float], bool],
        repack: bool | None = None,
        is_mapped: bool = True,
    ) -> None:
        def progress(share: float, _user_data: object) -> bool:
            try:
                return on_progress(share)
            except Exception:  # an exception cannot cross C; it would be printed and lost
                logger.exception("The progress of loading %s could not be shown", path.name)
                return True

        params = lib.llama_model_default_params()
        params.progress_callback = callback = lib.llama_progress_callback(progress)
        if n_gpu_layers is not None:
            params.n_gpu_layers = n_gpu_layers
        if repack is not None:
            params.use_extra_bufts = repack
        params.use_mmap = is_mapped
        self.path = path
        self._is_read_from = True
        self.file_state = FileState.of(path)
        guard(self.file_state)
        _log.lines.clear()
        self._pointer: Any = lib.llama_model_load_from_file(os.fsencode(path), params)
        del callback  # had to live until here
        try:
            self.check_file()
        except ModelFileError:
            self.close()
            raise
        if not self._pointer:
            raise ModelLoadError(path, _log.reason())
        self._is_read_from = is_mapped
        self._describe()
        self.bytes_of = lru_cache(maxsize=None)(self._bytes_of)

    def _describe(self) -> None:
        """Ask llama.cpp for the properties of the model and its vocabulary."""
        self._vocab = lib.llama_model_get_vocab(self._pointer)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self._vocab)
        self.has_window = bool(lib.llama_model_n_swa(self._pointer))
        self.n_embd: int = lib.llama_model_n_embd(self._pointer)
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(self._pointer)
        self.can_trim = not (
            lib.llama_model_is_recurrent(self._pointer) or lib.llama_model_is_hybrid(self._pointer)
        )
        self.is_encoder = bool(lib.llama_model_has_encoder(self._pointer))
        # Otherwise streams cannot be mended; see `Context`.
        self.can_have_streams = lib.llama_model_rope_type(self._pointer) not in _MANY_FOLD
        self.fim = FimTokens.of(
            {name: self._text(get(self._vocab)) for name, get in _FIM.items()}, self.control_ids
        )
        self.notebook = NotebookTokens.of(self.control_ids)
        self.end_ids = self._end_ids()
        # The texts of the begin and end tokens, "" where there is none.
        self.bos = self._text(lib.llama_vocab_bos(self._vocab))
        self.eos = self._text(lib.llama_vocab_eos(self._vocab))
        # Before a text that begins, and after a control token.
        self.puts_space_first = lib.llama_vocab_type(self._vocab) == lib.LLAMA_VOCAB_TYPE_SPM
        begin = lib.llama_vocab_bos(self._vocab)  # if the model wants it before a text
        is_wanted = begin >= 0 and lib.llama_vocab_get_add_bos(self._vocab)
        self.begin_ids: tuple[int, ...] = (begin,) if is_wanted else ()

    @property
    def chat_template(self) -> str | None:
        """The jinja2 source in the file, if there is one."""
        source = lib.llama_model_chat_template(self._pointer, None)
        return source.decode("utf-8", "replace") if source else None

    @cached_property
    def control_ids(self) -> dict[str, int]:
        """The tokens that no plain text becomes, by their texts, such as `<|im_end|>`."""
        return self._texts(_STEERING)

    @cached_property
    def _marks(self) -> tuple[re.Pattern[str] | None, ...]:
        """The places where plain texts may be cut, and where texts with control tokens may be."""
        defined, stripping = map(self._texts, (_DEFINED, lib.LLAMA_TOKEN_ATTR_LSTRIP))
        return tuple(safe_marks(t, stripping) for t in (defined, {**defined, **self.control_ids}))

    def _texts(self, kinds: int) -> dict[str, int]:
        """The tokens of some kinds, by their texts."""
        attr_of = lib.llama_vocab_get_attr
        return {self._text(t): t for t in range(self.n_vocab) if attr_of(self._vocab, t) & kinds}

    def control_id(self, text: str) -> int:
        """A control token by its text; `OptionError` if the model has none of that text."""
        if text in self.control_ids:
            return self.control_ids[text]
        hint = nearest(
            text, list(self.control_ids), "Plain text is given as it is, without Special."
        )
        raise OptionError(f"The model has no control token {text!r}. {hint}")

    def known(self, token_ids: Sequence[int]) -> Sequence[int]:
        """The same tokens; `OptionError` if the model has no such."""
        if (most := max(token_ids, default=0)) >= self.n_vocab:
            raise OptionError(f"The model has no token {most}: its last one is {self.n_vocab - 1}.")
        return token_ids

    def _end_ids(self) -> frozenset[int]:
        """The tokens after which nothing comes that belongs to a completion.

        llama.cpp knows those that end a text. Where the next file, cell or gap begins, the model
        has left what it was to complete, too.
        """
        ends = {t for t in range(self.n_vocab) if lib.llama_vocab_is_eog(self._vocab, t)}
        texts = [text for tokens in (self.fim, self.notebook) if tokens for text in astuple(tokens)]
        return frozenset(ends | {self.control_ids[text] for text in texts if text})

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens by their bytes, without those that end a text or steer the model.

        Made on first need: that takes a moment for large vocabularies.
        """
        left_out = self.end_ids.union(self.control_ids.values())
        pieces = [
            b"" if token in left_out else self._bytes_of(token) for token in range(self.n_vocab)
        ]
        return Vocabulary(pieces, partial(self.tokenize, is_special=False, goes_on=True))

    def tokenize(
        self,
        text: str,
        *,
        is_special: bool,
        add_bos: bool = False,
        goes_on: bool = False,
        most: float = math.inf,
    ) -> list[int]:
        """The tokens of a text; of more than `most`, the last may be left out.

        `is_special` reads `<|im_end|>` and the like as one token each; `add_bos` puts the begin
        token before, if the model wants one. Some vocabularies put a space before a text, but not
        before one that `goes_on` with another.
        """
        if goes_on and self.puts_space_first:
            # What comes first is a byte that merges with nothing.
            first, both = (self.tokenize(t, is_special=is_special) for t in (_BYTE, _BYTE + text))
            if both[: len(first)] == first:
                return both[len(first) :]
        token_ids: list[int] = []
        marks = None if add_bos else self._marks[is_special]  # an end token may come, too
        for piece in cut_before(text, marks):
            if len(token_ids) <= most:
                token_ids += self._tokens(piece, is_special=is_special, add_bos=add_bos)
        return token_ids

    def _tokens(self, text: str, *, is_special: bool, add_bos: bool) -> list[int]:
        """The tokens of a text; llama.cpp looks to its end from each special token in it."""
        data = text.encode("utf-8", "replace")  # a lone surrogate is no text
        size = len(data) + 8
        while True:
            tokens = (lib.llama_token * size)()
            count = lib.llama_tokenize(
                self._vocab, data, len(data), tokens, size, add_bos, is_special
            )
            if count >= 0:
                return list(tokens[:count])
            size = -count

    def check_file(self) -> None:
        """Raise `ModelFileError` if somebody has written to the file while it is read from.

        Other contents make other answers, and pages that a truncated file does not have any more
        are zeros at best; see `cut_files`.
        """
        was_changed = was_cut(self.file_state) or self.file_state.was_written_to()
        if self._is_read_from and was_changed:  # it takes microseconds
            raise ModelFileError(
                self.path,
                f"{self.path.name} was changed on disk while it was loaded, so it was unloaded. "
                "Ask again to load it as it is now.",
            )

    def close(self) -> None:
        """Free the weights; its contexts must be closed before."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            lib.llama_model_free(pointer)
            # glibc keeps what was freed in small pieces, a vocabulary's worth, unless it is told.
            trim = getattr(c_library(), "malloc_trim", None)
            if trim is not None:
                trim(0)

    def open_context(self, params: Any) -> Any:
        """Make a context over the weights; raises `ModelLoadError`, mostly for want of memory."""
        _log.lines.clear()
        pointer = lib.llama_init_from_model(self._pointer, params)
        if not pointer:
            raise ModelLoadError(self.path, _log.reason())
        return pointer

    def sampler(self, params: SamplingParams, seed: int, context: Sequence[int]) -> Any:
        """Make a llama.cpp sampler chain; `context` are the tokens before the first drawn one."""
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for part in self._sampler_parts(params, seed):
            lib.llama_sampler_chain_add(chain, part)
        for token in context[-_PENALTY_WINDOW:]:
            lib.llama_sampler_accept(chain, token)
        return chain

    def logit_bias(self, params: SamplingParams) -> list[tuple[int, float]]:
        """Return the numbers added to tokens' logits; `OptionError` for a token that is missing."""
        bias = dict(params.logit_bias)
        for token in bias:
            if token >= self.n_vocab:
                raise OptionError(
                    f"logit_bias names token {token}, but the model's last one is "
                    f"{self.n_vocab - 1}."
                )
        if params.ignore_eos:
            bias.update(dict.fromkeys(sorted(self.end_ids), float("-inf")))
        return list(bias.items())

    def _sampler_parts(self, params: SamplingParams, seed: int) -> Iterator[Any]:
        if pairs := self.logit_bias(params):
            bias = (lib.llama_logit_bias * len(pairs))(*pairs)
            yield lib.llama_sampler_init_logit_bias(self.n_vocab, len(bias), bias)
        if params.repeat_penalty != 1:
            yield lib.llama_sampler_init_penalties(
                self.n_vocab, _PENALTY_WINDOW, params.repeat_penalty, 0.0, 0.0
            )
        if params.temperature == 0:
            yield lib.llama_sampler_init_greedy()
            return
        if params.top_k:
            yield lib.llama_sampler_init_top_k(params.top_k)
        yield lib.llama_sampler_init_top_p(params.top_p, 1)
        yield lib.llama_sampler_init_min_p(params.min_p, 1)
        yield lib.llama_sampler_init_temp(params.temperature)
        yield lib.llama_sampler_init_dist(seed)

    def _text(self, token: int) -> str:
        if token < 0:
            return ""
        text: bytes = lib.llama_vocab_get_text(self._vocab, token)
        return text.decode("utf-8", "replace")

    def _bytes_of(self, token: int) -> bytes:
        """A token's share of the text; it need not be whole characters."""
        size = 32
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)  # noqa: FBT003
            if count >= 0:
                return buffer.raw[:count]
            size = -count


class _BatchMemory:
    """A llama_batch over memory of our own."""

    def __init__(self, size: int) -> None:
        self._token = (lib.llama_token * size)()
        self._pos = (lib.llama_pos * size)()
        self._seq_id = (lib.llama_seq_id * size)()
        self._logits = (ctypes.c_int8 * size)()
        self._num_seq_ids = (ctypes.c_int32 * size)(*([1] * size))
        pointer = ctypes.POINTER(lib.llama_seq_id)
        step = ctypes.sizeof(lib.llama_seq_id)
        start = ctypes.addressof(self._seq_id)
        self._several: dict[int, Any] = {}  # tokens of several sequences, and the array of these
        self._own = [ctypes.cast(start + index * step, pointer) for index in range(size)]
        self._seq_id_pointers = (pointer * size)(*self._own)
        self.batch = lib.llama_batch(
            n_tokens=0,
            token=self._token,
            pos=self._pos,
            n_seq_id=self._num_seq_ids,
            seq_id=self._seq_id_pointers,
            logits=self._logits,
        )

    def fill(self, batch: Batch) -> Any:
        count = len(batch)
        self._token[:count] = batch.token_ids
        self._pos[:count] = batch.positions
        self._seq_id[:count] = batch.seq_ids
        for index in self._several:
            self._num_seq_ids[index] = 1
            self._seq_id_pointers[index] = self._own[index]
        self._several = {}
        for index, others in batch.also.items():
            several = (batch.seq_ids[index], *others)
            self._several[index] = array = (lib.llama_seq_id * len(several))(*several)
            self._num_seq_ids[index] = len(several)
            self._seq_id_pointers[index] = ctypes.cast(array, type(self._own[index]))
        self._logits[:count] = [int(wanted) for wanted in batch.wants_logits]
        self.batch.n_tokens = count
        return self.batch

    def seq_id(self, index: int) -> int:
        """Return the sequence of the batch's `index`-th token."""
        return int(self._seq_id[index])


class Context:
    """A KV cache for `num_slots` sequences over loaded weights; evaluates batches.

    A unified one may have `num_spares` more sequences, for what is forgotten after a batch.
    The cache is unified, `n_ctx` cells that all sequences share, or gives each sequence a stream
    of its own for `n_ctx` tokens. Sliding-window layers keep all their cells. A context with
    streams may set `group_size`, so that tokens are evaluated in groups; see `groups`.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        n_ctx: int,
        n_batch: int,
        num_slots: int,
        n_threads: int,
        flash_attention: bool,
        is_unified: bool = True,
        kv_type: KvType = "f16",
        num_spares: int = 0,
    ) -> None:
        params = lib.llama_context_default_params()
        params.kv_unified = is_unified
        params.type_k = params.type_v = _KV_TYPES[kv_type]
        params.swa_full = True  # otherwise an old prefix cannot be trimmed to
        params.no_perf = True
        params.flash_attn_type = (
            lib.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if flash_attention
            else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self._params = params
        self._wanted_batch = n_batch
        self._weights = weights
        self._is_unified = is_unified
        self._num_spares = num_spares
        self._window: int = lib.llama_model_n_swa(weights._pointer)  # noqa: SLF001
        self.n_vocab = weights.n_vocab
        self.can_trim = weights.can_trim
        self.group_size = 1
        self.n_threads = n_threads
        self._abort_flag = ctypes.create_string_buffer(2)
        # llama.cpp asks between two operations of a graph, hundreds of times a batch, from a
        # compute thread. A Python callback would wait for the interpreter lock each time; the C
        # library's strlen reads our flag without it: the flag is a string, empty or one long.
        self._abort_callback = ctypes.cast(c_library().strlen, lib.ggml_abort_callback)
        self._begin(n_ctx, num_slots)

    def _begin(self, n_ctx: int, num_slots: int) -> None:
        """Make the KV cache, and what depends on how many sequences it is for."""
        params, is_unified = self._params, self._is_unified
        num_fillers = 0 if is_unified else NUM_FILLERS * num_slots
        params.n_ctx = n_ctx if is_unified else padded(n_ctx + NUM_FILLERS) * num_slots
        params.n_batch = params.n_ubatch = self._wanted_batch + num_fillers
        params.n_seq_max = num_slots + self._num_spares
        self.spare_ids = range(num_slots, params.n_seq_max)
        params.n_threads = params.n_threads_batch = self.n_threads
        self._pointer = self._open(self._weights, params)
        self.num_slots = num_slots
        self._has_streams = num_slots > 1 and not is_unified
        self._memory = lib.llama_get_memory(self._pointer)
        self.is_causal = _is_causal(self._pointer)
        # llama.cpp makes a batch no larger than the window, and aborts on one that is.
        largest: int = lib.llama_n_batch(self._pointer)
        self.n_batch = largest - num_fillers
        self._batch = _BatchMemory(largest)
        lib.llama_set_abort_callback(
            self._pointer, self._abort_callback, ctypes.addressof(self._abort_flag)
        )
        self.n_ctx: int = lib.llama_n_ctx_seq(self._pointer) if is_unified else n_ctx
        self.num_cells: int = self.n_ctx if is_unified else self.n_ctx * num_slots
        self.num_allotted: int = params.n_ctx  # with those for fillers

    def divide(self, n_ctx: int, num_slots: int) -> None:
        """Divide the memory anew, into `num_slots` streams; all sequences are forgotten.

        After a `ModelLoadError` the memory is divided as before, without the sequences. If even
        that failed, `check` raises.
        """
        before = self.n_ctx, self.num_slots
        self.close()
        try:
            self._begin(n_ctx, num_slots)
        except ModelLoadError:
            self._begin(*before)
            raise

    def _open(self, weights: Weights, params: Any) -> Any:
        return weights.open_context(params)

    def check(self) -> None:
        """Raise `ModelLoadError` if there is no cache: llama.cpp would end the process."""
        if not self._pointer:
            raise ModelLoadError(self._weights.path, "the memory of its KV cache could not be had.")

    def set_threads(self, n_threads: int) -> None:
        """Compute the next batches with this many threads; the results stay the same."""
        if n_threads != self.n_threads:
            self.n_threads = n_threads
            lib.llama_set_n_threads(self._pointer, n_threads, n_threads)

    def decode(self, batch: Batch) -> Decoded:
        """Evaluate a batch; blocks, without the interpreter lock."""
        self._weights.check_file()
        ends: dict[int, int] = {}
        if self.group_size > 1:
            batch, ends = fill_groups(batch, self.group_size)
        code = self._evaluate(self._batch.fill(batch))
        self._weights.check_file()
        if code == 0:
            for seq_id, end in ends.items():
                lib.llama_memory_seq_rm(self._memory, seq_id, end, -1)
            return Decoded.OK
        if code == 1:
            return Decoded.NO_ROOM
        if self._has_streams:
            for seq_id in set(batch.seq_ids):
                self._mend(seq_id)
        return Decoded.ABORTED if code == 2 else Decoded.FAILED  # noqa: PLR2004  llama.h

    def _evaluate(self, batch: Any) -> int:
        return int(lib.llama_decode(self._pointer, batch))

    def _mend(self, seq_id: int) -> None:
        """Make llama.cpp fill a stream of an aborted batch from its first free cell again.

        llama.cpp evaluates a batch in pieces of a few streams each. If it is aborted in one piece,
        it continues the streams of the later pieces at the end of another stream. The tokens would
        be in other cells than before, and sums over cells would have other last bits (measured with
        SmolLM2: half of the tokens had other logits). Moving no token makes llama.cpp search free
        cells from the start. It would also fill cells that a window has passed, so a sequence that
        is longer than the window is cleared.
        """
        if self._window and lib.llama_memory_seq_pos_max(self._memory, seq_id) + 1 >= self._window:
            lib.llama_memory_seq_rm(self._memory, seq_id, -1, -1)
        lib.llama_memory_seq_add(self._memory, seq_id, _NOWHERE, _NOWHERE + 1, 1)

    def abort(self) -> None:
        """Make the batch under evaluation return as aborted. From any thread."""
        self._abort_flag[0] = b"\1"

    def clear_abort(self) -> None:
        """Let the next batch run."""
        self._abort_flag[0] = b"\0"

    def trim(self, seq_id: int, num_tokens: int) -> bool:
        """Keep the first tokens of a sequence; False if its memory cannot forget so."""
        is_trimmed = bool(lib.llama_memory_seq_rm(self._memory, seq_id, num_tokens, -1))
        return is_trimmed and self._can_go_on(seq_id, num_tokens)

    def copy(self, source: int, target: int, num_tokens: int) -> bool:
        """Let a sequence share the first cells of another; False if it cannot go on from there.

        In a unified cache no data moves. Between two streams all of it does, at the next decode.
        """
        if self._is_unified:
            lib.llama_memory_seq_cp(self._memory, source, target, 0, num_tokens)
            return self._can_go_on(target, num_tokens)
        lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        return self.trim(target, num_tokens)

    def repeat(self, num_tokens: int) -> bool:
        """Let sequence 0 hold its so many tokens once for each sequence there is; False if not.

        It is as deep then as if it had read as much. The others share these cells.
        """
        if not lib.llama_memory_can_shift(self._memory):
            return False  # it would end the process
        state = self.state(0)
        for number in range(1, self.num_slots):
            if not self.restore(number, state, num_tokens):
                return False
            lib.llama_memory_seq_add(self._memory, number, 0, -1, number * num_tokens)
            lib.llama_memory_seq_cp(self._memory, number, 0, -1, -1)
        return True

    def _can_go_on(self, seq_id: int, num_tokens: int) -> bool:
        """Whether the cells that the next token of a sliding window attends to are there.

        Not even a context that keeps all cells has them after `restore`: states hold one window.
        """
        if not self._window or not num_tokens:
            return True
        first: int = lib.llama_memory_seq_pos_min(self._memory, seq_id)
        return 0 <= first <= max(0, num_tokens - self._window + 1)  # the window counts it too

    @property
    def _is_divided(self) -> bool:
        """Whether a state lists several streams and the number of cells of each.

        The cells of other streams are none, so the state is stored as if there were one stream.
        """
        return self._has_streams and self.can_trim and not self._window

    def state_size(self, seq_id: int) -> int:
        """Return the number of bytes of `state`."""
        return int(lib.llama_state_seq_get_size(self._pointer, seq_id))

    def state(self, seq_id: int) -> memoryview:
        """Return the part of the cache that belongs to a sequence, to be restored later."""
        size = self.state_size(seq_id)
        buffer = pages(size)
        count = lib.llama_state_seq_get_data(self._pointer, _address(buffer), size, seq_id)
        if not self._is_divided:
            return buffer[:count]
        start, end = _COUNT * seq_id, count - _COUNT * (self.num_slots - 1 - seq_id)
        head = bytes(buffer[:_HEAD]) + _count(1)
        buffer[start : start + len(head)] = head
        return buffer[start:end]

    def restore(self, seq_id: int, state: bytes | memoryview, num_tokens: int) -> bool:
        """Fill an empty sequence from a state of so many tokens; False if it did not work.

        The sequence is empty then. The state must come from `state` of a like context: llama.cpp
        checks little. It may have had more streams or fewer.
        """
        if self._is_divided:
            state, others = memoryview(state), bytes(_COUNT * (self.num_slots - 1))
            start = _HEAD + _COUNT
            state = b"".join((state[:_HEAD], _count(self.num_slots), state[start:], others))
        # llama.cpp only reads the buffer, so the bytes need not be copied.
        count = lib.llama_state_seq_set_data(self._pointer, _address(state), len(state), seq_id)
        last = lib.llama_memory_seq_pos_max(self._memory, seq_id)
        if count == len(state) and last == num_tokens - 1:
            return True
        lib.llama_memory_seq_rm(self._memory, seq_id, -1, -1)
        return False

    def logits(self, index: int) -> np.ndarray:
        """The logits of the batch's `index`-th token, (n_vocab,); valid until the next."""
        pointer = lib.llama_get_logits_ith(self._pointer, index)
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,))

    def clear(self) -> None:
        """Forget all sequences; the next ones are put into the first cells again."""
        lib.llama_memory_clear(self._memory, False)  # noqa: FBT003  as llama.h declares it

    def is_end(self, token_id: int) -> bool:
        """Whether a token ends the text."""
        return token_id in self._weights.end_ids

    def sampler(self, params: SamplingParams, seed: int, prompt: Sequence[int]) -> Sampler:
        """Make the sampler of one request; raises `OptionError` for a token there is not."""
        bias = self._weights.logit_bias(params)
        if params.temperature == 0 and params.repeat_penalty == 1:
            return GreedySampler(self, bias)
        return ChainSampler(self, self._weights.sampler(params, seed, prompt))

    def close(self) -> None:
        """Free the KV cache and buffers; may be called twice."""
        pointer, self._pointer, self._memory = self._pointer, None, None
        if pointer:
            lib.llama_free(pointer)


class ChainSampler:
    """Draws one request's tokens with a llama.cpp sampler chain."""

    def __init__(self, context: Context, chain: Any) -> None:
        self._context = context
        self._chain = chain

    def sample(self, index: int) -> int:
        """Draw a token from the logits of the batch's `index`-th token, and remember it."""
        return int(lib.llama_sampler_sample(self._chain, self._context._pointer, index))  # noqa: SLF001

    def accept(self, token_id: int) -> None:
        """Remember a token that was not drawn."""
        lib.llama_sampler_accept(self._chain, token_id)

    def close(self) -> None:
        """Free the chain; may be called twice."""
        chain, self._chain = self._chain, None
        if chain:
            lib.llama_sampler_free(chain)


def _is_causal(pointer: Any) -> bool:
    """Whether a token looks at those before it alone, so that a text may be read in pieces."""
    return bool(lib.llama_get_memory(pointer)) and bool(lib.llama_get_causal_attn(pointer))


class EmbeddingContext(Context):
    """A context whose batches give vectors, one for each sequence, pooled as the model requires.

    A causal model reads a text piece by piece; a `Pooler` pools its vectors, by their mean if the
    model sets no other way. Other models read a text in one batch, and llama.cpp pools.
    """

    def _open(self, weights: Weights, params: Any) -> Any:
        params.embeddings = True
        pointer = weights.open_context(params)
        pooling: int = lib.llama_pooling_type(pointer)
        if pooling == lib.LLAMA_POOLING_TYPE_RANK:  # one number, where others give n_embd
            lib.llama_free(pointer)
            raise EngineError(
                "The model ranks texts, and makes no vectors of them. Choose one that embeds."
            )
        self._takes_last = pooling == lib.LLAMA_POOLING_TYPE_LAST
        params.pooling_type = pooling or lib.LLAMA_POOLING_TYPE_MEAN
        if _is_causal(pointer):
            params.pooling_type = lib.LLAMA_POOLING_TYPE_NONE
        if params.pooling_type != pooling:
            lib.llama_free(pointer)
            pointer = weights.open_context(params)
        self._n_embd: int = weights.n_embd
        self._is_encoder = weights.is_encoder
        return pointer

    def _evaluate(self, batch: Any) -> int:
        evaluate = lib.llama_encode if self._is_encoder else lib.llama_decode
        return int(evaluate(self._pointer, batch))

    def pooler(self) -> Pooler:
        """Make what takes the vector of one text."""
        if self.is_causal:
            return Pooler(self._vector, takes_last=self._takes_last)
        return Pooler(self._pooled, takes_first=True)

    def _vector(self, index: int) -> np.ndarray:
        """The vector of the batch's `index`-th token, (n_embd,)."""
        return self._array(lib.llama_get_embeddings_ith(self._pointer, index))

    def _pooled(self, index: int) -> np.ndarray:
        """The vector of the text whose token the batch's `index`-th is."""
        return self._array(lib.llama_get_embeddings_seq(self._pointer, self._batch.seq_id(index)))

    def _array(self, pointer: Any) -> np.ndarray:
        if not pointer:
            raise EngineError("The model gives no vectors.")
        return np.ctypeslib.as_array(pointer, shape=(self._n_embd,)).astype(np.float32)


def _count(number: int) -> bytes:
    return number.to_bytes(_COUNT, sys.byteorder)


def _address(buffer: bytes | memoryview) -> Any:
    """A pointer to bytes, which the caller keeps alive.

    numpy's own `data_as` leaves a cycle behind that holds the array until the next collection.
    """
    address = np.frombuffer(buffer, np.uint8).ctypes.data
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))


def installed() -> dict[str, Any]:
    """Return the version and the abilities of this library; see `engine.local.native.installed`."""
    return {
        "build": BUILD,
        "path": lib.llama_cpp._lib._name,  # noqa: SLF001  the bindings have no name for it
        "has_gpu": HAS_GPU,
        "gpu_bytes": device_memory(),
    }


def device_memory() -> int | None:
    """Return the free memory of all GPUs; None without a GPU, or if it is unknown."""
    if not lib.llama_supports_gpu_offload():
        return None
    sizes = [free for kind, free in _devices() if kind == _GPU]
    return sum(sizes) if sizes else None


def _devices() -> list[tuple[int, int]]:
    """The type and the free memory of each device that ggml computes on."""
    # The bindings leave ggml's devices out; its functions are found through libllama.
    ggml = lib.llama_cpp._lib  # noqa: SLF001
    try:
        num_devices, device_at = ggml.ggml_backend_dev_count, ggml.ggml_backend_dev_get
        type_of, memory_of = ggml.ggml_backend_dev_type, ggml.ggml_backend_dev_memory
    except AttributeError:  # Windows looks into the one library only
        return []
    size_p = ctypes.POINTER(ctypes.c_size_t)
    num_devices.restype = ctypes.c_size_t
    device_at.argtypes, device_at.restype = [ctypes.c_size_t], ctypes.c_void_p
    type_of.argtypes, memory_of.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, size_p, size_p]
    devices = []
    for index in range(num_devices()):
        device, free, whole = device_at(index), ctypes.c_size_t(), ctypes.c_size_t()
        memory_of(device, free, whole)
        devices.append((type_of(device), free.value))
    return devices
