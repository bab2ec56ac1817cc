"""Writes the tiny GGUF model that every test of the real engine runs on.

Its weights are random (fixed seed) except in two respects. A few dimensions of the embedding are
reserved for the kind of token that comes next: each input token sets one of them, and the output
head lifts the tokens of that kind, so the text is printable, and valid UTF-8 where a character
takes several tokens. And attention to the whole past is strong, so that one token far back changes
what is written next: a stale or shifted KV cache cannot go unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

NUM_LAYERS: Final = 2
DIM: Final = 64
NUM_HEADS: Final = 4
NUM_KV_HEADS: Final = 2
HEAD_DIM: Final = DIM // NUM_HEADS
FFN_DIM: Final = 128

# Found by a search over such gains: the text depends on far tokens and does not fall into a loop,
# while the rounding of a half-precision KV cache stays far below the margin of the best token.
EMBEDDING_GAIN: Final = 40.0
ATTENTION_SHARPNESS: Final = (6.0, 1.0)
# The same for a model that attends to all of the past alike, and in which no sum drowns another:
# its logits show when a sum over the past comes out different in its last bit.
TOUCHY_EMBEDDING_GAIN: Final = 4.0
TOUCHY_ATTENTION_SHARPNESS: Final = (1.0, 1.0)
TOUCHY_KIND_SIGNAL: Final = 4.0
ATTENTION_GAIN: Final = (6.0, 6.0)
GATE_GAIN: Final = 3.0
LOGIT_GAIN: Final = 4.0
# Without it the likeliest next token is often the last one again.
SELF_AVERSION: Final = 0.05
KIND_SIGNAL: Final = 16.0
KIND_LIFT: Final = 60.0

MERGES: Final = (
    *("Ġ t", "h e", "i n", "r e", "o n", "e r", "Ġt he", "a n", "an d", "in g", "Ġ a", "o r"),
)
SPECIAL_TOKENS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# The kinds of token that may come next, each a reserved dimension of the embedding.
START, END, LAST_BYTE, MIDDLE_OF_3, SECOND_OF_4, THIRD_OF_4 = range(6)
NUM_KINDS: Final = 6
NO_KIND: Final = -1

PRINTABLE: Final = (*range(0x20, 0x7F), 0x0A)
# Few letters, so that characters of several bytes are frequent.
MULTI_BYTE_STARTS: Final = (*b" aeinost", 0xC3, 0xE3, 0xF0)
MULTI_BYTE_KINDS: Final = {
    LAST_BYTE: tuple(range(0xA0, 0xC0)),
    MIDDLE_OF_3: (0x81, 0x82, 0x83),
    SECOND_OF_4: (0x9F,),
    THIRD_OF_4: (0x8D, 0x8E, 0x90, 0x92, 0x98),
}
MULTI_BYTE_FOLLOWERS: Final = {
    (0xC3,): LAST_BYTE,  # à … ÿ
    (0xE3,): MIDDLE_OF_3,  # kana
    MULTI_BYTE_KINDS[MIDDLE_OF_3]: LAST_BYTE,
    (0xF0,): SECOND_OF_4,  # emoji
    MULTI_BYTE_KINDS[SECOND_OF_4]: THIRD_OF_4,
    MULTI_BYTE_KINDS[THIRD_OF_4]: LAST_BYTE,
}


def write_tiny_model(
    path: Path,
    *,
    chat_template: str | None = CHAT_TEMPLATE,
    n_ctx: int = 4096,
    seed: int = 0,
    utf8: bool = False,
    is_touchy: bool = False,
    recommends: Mapping[str, float] | None = None,
    control_texts: Sequence[str] = (),
    begins: bool = False,
    is_spm: bool = False,
) -> Path:
    """Write the model to `path` and return the path.

    Token ids 0 to 255 are the bytes themselves, then come the merges, and last the special tokens
    `<|endoftext|>`, `<|im_start|>` and `<|im_end|>`. The text never ends by itself. With `utf8`,
    most characters take two to four tokens. With `is_touchy`, the logits change with the last bit
    of any sum over the past. Without `chat_template` it stands for a base model. `recommends`
    are ends of `general.sampling.…`. `control_texts` are those of more control tokens, which come
    before the special ones. With `begins` a text has `<|endoftext|>` before it. With
    `is_spm` the vocabulary is one of SentencePiece, as Llama's: it puts a space before a text, and
    its special tokens are `<unk>`, `<s>` and `</s>`.
    """
    tokens = spm_tokens(control_texts) if is_spm else all_tokens(control_texts)
    kinds, followers = kinds_of(tokens, utf8=utf8)
    writer = start(
        path,
        "llama",
        n_ctx=n_ctx,
        chat_template=chat_template,
        tokens=tokens,
        begins=begins,
        is_spm=is_spm,
    )
    writer.add_license("cc0-1.0")
    for name, value in (recommends or {}).items():
        if isinstance(value, int):
            writer.add_int32(f"general.sampling.{name}", value)
        else:
            writer.add_float32(f"general.sampling.{name}", value)
    writer.add_feed_forward_length(FFN_DIM)
    writer.add_head_count(NUM_HEADS)
    writer.add_head_count_kv(NUM_KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    rng = np.random.default_rng(seed)
    return write(writer, path, _weights(kinds, followers, rng, is_touchy=is_touchy))


def all_tokens(control_texts: Sequence[str] = ()) -> list[str]:
    merged = (merge.replace(" ", "") for merge in MERGES)
    return [*byte_symbols(), *merged, *control_texts, *SPECIAL_TOKENS]


def spm_tokens(control_texts: Sequence[str] = ()) -> list[str]:
    bytes_ = (f"<0x{byte:02X}>" for byte in range(256))
    merged = (merge.replace(" ", "").replace("Ġ", "▁") for merge in MERGES)
    return [*bytes_, *merged, "▁", *control_texts, "<unk>", "<s>", "</s>"]


def byte_symbols() -> list[str]:
    """Return the character that stands for each byte in a byte-level BPE vocabulary."""
    stand_for_themselves = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in stand_for_themselves else next(spare)) for byte in range(256)]


def start(
    path: Path,
    architecture: str,
    *,
    n_ctx: int = 4096,
    chat_template: str | None = CHAT_TEMPLATE,
    tokens: list[str] | None = None,
    begins: bool = False,
    is_spm: bool = False,
) -> gguf.GGUFWriter:
    """Begin a file with what all tiny models say of themselves."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"Tiny {architecture.capitalize()}")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(DIM)
    writer.add_block_count(NUM_LAYERS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_add_bos_token(begins)
    if is_spm:
        _add_spm_tokenizer(writer, tokens or spm_tokens())
    else:
        _add_tokenizer(writer, tokens or all_tokens())
    if chat_template:
        writer.add_chat_template(chat_template)
    return writer


def write(writer: gguf.GGUFWriter, path: Path, tensors: dict[str, Array]) -> Path:
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
    num_special = len(tokens) - 256 - len(MERGES)
    end_of_text, _, end_of_turn = range(len(tokens) - len(SPECIAL_TOKENS), len(tokens))
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.NORMAL] * (len(tokens) - num_special)
        + [gguf.TokenType.CONTROL] * num_special
    )
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(end_of_text)
    writer.add_eos_token_id(end_of_turn)
    writer.add_eot_token_id(end_of_turn)
    writer.add_pad_token_id(end_of_text)


def _add_spm_tokenizer(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
    types, num_normal = gguf.TokenType, len(MERGES) + 1
    unknown, begin, end = range(len(tokens) - 3, len(tokens))
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types(
        [types.BYTE] * 256
        + [types.NORMAL] * num_normal
        + [types.CONTROL] * (unknown - 256 - num_normal)
        + [types.UNKNOWN, types.CONTROL, types.CONTROL]
    )
    writer.add_unk_token_id(unknown)
    writer.add_bos_token_id(begin)
    writer.add_eos_token_id(end)
    writer.add_add_space_prefix(value=True)


def kinds_of(tokens: list[str], *, utf8: bool) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the kind of each token, and the kind of token that follows each token."""
    kinds = np.full(len(tokens), NO_KIND)
    followers = np.full(len(tokens), START)
    if utf8:
        kinds[list(MULTI_BYTE_STARTS)] = START
        for kind, members in MULTI_BYTE_KINDS.items():
            kinds[list(members)] = kind
        for members, follower in MULTI_BYTE_FOLLOWERS.items():
            followers[list(members)] = follower
    else:
        kinds[list(PRINTABLE)] = START
        kinds[256 : 256 + len(MERGES)] = START
    kinds[-1] = END
    return kinds, followers


def _weights(
    kinds: npt.NDArray[np.intp],
    followers: npt.NDArray[np.intp],
    rng: np.random.Generator,
    *,
    is_touchy: bool,
) -> dict[str, Array]:
    num_tokens = len(kinds)
    gain = TOUCHY_EMBEDDING_GAIN if is_touchy else EMBEDDING_GAIN
    embedding = matrix(rng, num_tokens, DIM, gain=gain)
    head = matrix(rng, num_tokens, DIM, gain=LOGIT_GAIN) - SELF_AVERSION * embedding
    signal = TOUCHY_KIND_SIGNAL if is_touchy else KIND_SIGNAL
    tensors = ends(embedding, head, kinds, followers, signal)
    sharpness = TOUCHY_ATTENTION_SHARPNESS if is_touchy else ATTENTION_SHARPNESS
    for index in range(NUM_LAYERS):
        for name, tensor in _layer(rng, index, sharpness[index]).items():
            tensors[f"blk.{index}.{name}.weight"] = tensor
    return tensors


def ends(
    embedding: Array,
    head: Array,
    kinds: npt.NDArray[np.intp],
    followers: npt.NDArray[np.intp],
    signal: float = KIND_SIGNAL,
) -> dict[str, Array]:
    """Reserve the dimensions of the next token's kind, where a text comes in and goes out."""
    embedding[:, :NUM_KINDS] = 0
    embedding[np.arange(len(kinds)), followers] = signal
    head[:, :NUM_KINDS] = 0
    can_come = np.flatnonzero(kinds != NO_KIND)
    head[can_come, kinds[can_come]] = KIND_LIFT
    return {
        "token_embd.weight": embedding,
        "output_norm.weight": np.ones(DIM, np.float32),
        "output.weight": head,
    }


def _layer(rng: np.random.Generator, index: int, sharpness: float) -> dict[str, Array]:
    reads = np.ones(DIM, np.float32)
    reads[:NUM_KINDS] = 0
    kv_dim = NUM_KV_HEADS * HEAD_DIM
    tensors = {
        "attn_norm": reads,
        "attn_q": matrix(rng, DIM, DIM, gain=sharpness),
        "attn_k": matrix(rng, kv_dim, DIM),
        "attn_v": matrix(rng, kv_dim, DIM),
        "attn_output": matrix(rng, DIM, DIM, gain=ATTENTION_GAIN[index]),
        "ffn_norm": reads,
        "ffn_gate": matrix(rng, FFN_DIM, DIM, gain=GATE_GAIN),
        "ffn_up": matrix(rng, FFN_DIM, DIM),
        "ffn_down": matrix(rng, DIM, FFN_DIM),
    }
    # No layer writes to the dimensions that hold the next token's kind.
    tensors["attn_output"][:NUM_KINDS] = 0
    tensors["ffn_down"][:NUM_KINDS] = 0
    return tensors


def matrix(rng: np.random.Generator, rows: int, columns: int, *, gain: float = 1.0) -> Array:
    """Return a matrix whose products are about `gain` times as large as a vector's elements."""
    matrix: Array = rng.standard_normal((rows, columns), np.float32)
    return matrix * np.float32(gain / columns**0.5)
