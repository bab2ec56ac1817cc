"""Writes the tiny GGUF model that every test of the real engine runs on.

Its weights are random (fixed seed) except in two respects. A few dimensions of the embedding are
reserved for "what kind of token comes next": each input token sets one of them, and the output
head lifts the tokens of that kind, so the text is printable, and valid UTF-8 where a character
takes several tokens. And attention to the whole past is made strong, so that one token far back
changes what is written next: a stale or shifted KV cache cannot go unnoticed.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

NUM_LAYERS = 2
DIM = 64
NUM_HEADS = 4
NUM_KV_HEADS = 2
HEAD_DIM = DIM // NUM_HEADS
FFN_DIM = 128

MERGES = ("Ġ t", "h e", "i n", "r e", "o n", "e r", "Ġt he", "a n", "an d", "in g", "Ġ a", "o r")
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# The kinds of token that may come next, each a reserved dimension of the embedding.
START, END, LAST_BYTE, MIDDLE_OF_3, SECOND_OF_4, THIRD_OF_4, NUM_KINDS = range(7)
NO_KIND = -1

PRINTABLE = (*range(0x20, 0x7F), 0x0A)
# What starts a character in the multi-byte model: few letters, so that the long ones are frequent.
MULTI_BYTE_STARTS = (*b" aeinost", 0xC3, 0xE3, 0xF0)
MULTI_BYTE = {
    LAST_BYTE: range(0xA0, 0xC0),
    MIDDLE_OF_3: (0x81, 0x82, 0x83),
    SECOND_OF_4: (0x9F,),
    THIRD_OF_4: (0x8D, 0x8E, 0x90, 0x92, 0x98),
}
FOLLOWING_KIND = {
    0xC3: LAST_BYTE,  # à … ÿ
    0xE3: MIDDLE_OF_3,  # kana
    0xF0: SECOND_OF_4,  # emoji
    **dict.fromkeys(MULTI_BYTE[MIDDLE_OF_3], LAST_BYTE),
    **dict.fromkeys(MULTI_BYTE[SECOND_OF_4], THIRD_OF_4),
    **dict.fromkeys(MULTI_BYTE[THIRD_OF_4], LAST_BYTE),
}

S_QK = (1.0, 2.0)
G_V = (8.0, 2.0)
G_FFN = 2.0
S_HEAD = 0.5
KIND_IN = 1.0
KIND_OUT = 40.0
EMB = 1.0
A = 0.0


def byte_symbols() -> list[str]:
    """Return the printable stand-in for each byte that byte-level BPE vocabularies use."""
    keeps_its_own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in keeps_its_own else next(spare)) for byte in range(256)]


def write_tiny_model(
    path: Path,
    *,
    chat_template: bool = True,
    n_ctx: int = 4096,
    seed: int = 0,
    utf8: bool = False,
    end_after: str = "",
) -> Path:
    tokens = [*byte_symbols(), *(merge.replace(" ", "") for merge in MERGES), *SPECIAL_TOKENS]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny Llama")
    writer.add_license("cc0-1.0")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(DIM)
    writer.add_block_count(NUM_LAYERS)
    writer.add_feed_forward_length(FFN_DIM)
    writer.add_head_count(NUM_HEADS)
    writer.add_head_count_kv(NUM_KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    special = len(SPECIAL_TOKENS)
    writer.add_token_types(
        [gguf.TokenType.NORMAL] * (len(tokens) - special) + [gguf.TokenType.CONTROL] * special
    )
    writer.add_token_merges(MERGES)
    end_of_text, _, end_of_turn = range(len(tokens) - special, len(tokens))
    writer.add_bos_token_id(end_of_text)
    writer.add_eos_token_id(end_of_turn)
    writer.add_eot_token_id(end_of_turn)
    writer.add_pad_token_id(end_of_text)
    writer.add_add_bos_token(False)
    if chat_template:
        writer.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in weights(tokens, seed=seed, utf8=utf8, end_after=end_after).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def weights(tokens, *, seed, utf8, end_after):
    rng = np.random.default_rng(seed)

    def random(*shape: int, scale: float = 1.0) -> Array:
        return (rng.standard_normal(shape) * (scale / np.sqrt(shape[-1]))).astype(np.float32)

    kind, follows = kinds(tokens, utf8, end_after)
    emb = random(len(tokens), DIM, scale=EMB * 8)
    emb[:, :NUM_KINDS] = 0
    emb[np.arange(len(tokens)), follows] = KIND_IN * 8
    out = random(len(tokens), DIM, scale=S_HEAD * 8)
    out[:, :NUM_KINDS] = 0
    out[:, NUM_KINDS:] -= A * S_HEAD * emb[:, NUM_KINDS:] / EMB
    lifted = kind != NO_KIND
    out[np.flatnonzero(lifted), kind[lifted]] = KIND_OUT
    norm = np.ones(DIM, np.float32)
    reads = norm.copy()
    reads[:NUM_KINDS] = 0
    t = {"token_embd.weight": emb, "output.weight": out, "output_norm.weight": norm}
    kv = NUM_KV_HEADS * HEAD_DIM
    for n in range(NUM_LAYERS):
        b = f"blk.{n}."
        t[b + "attn_norm.weight"] = reads
        t[b + "attn_q.weight"] = random(DIM, DIM, scale=S_QK[n])
        t[b + "attn_k.weight"] = random(kv, DIM)
        t[b + "attn_v.weight"] = random(kv, DIM)
        o = random(DIM, DIM, scale=G_V[n])
        o[:NUM_KINDS] = 0
        t[b + "attn_output.weight"] = o
        t[b + "ffn_norm.weight"] = reads
        t[b + "ffn_gate.weight"] = random(FFN_DIM, DIM, scale=G_FFN)
        t[b + "ffn_up.weight"] = random(FFN_DIM, DIM, scale=1.0)
        d = random(DIM, FFN_DIM, scale=1.0)
        d[:NUM_KINDS] = 0
        t[b + "ffn_down.weight"] = d
    return t


def kinds(tokens, utf8, end_after):
    kind = np.full(len(tokens), NO_KIND)
    follows = np.full(len(tokens), START)
    if utf8:
        kind[list(MULTI_BYTE_STARTS)] = START
        for k, members in MULTI_BYTE.items():
            kind[list(members)] = k
        for byte, f in FOLLOWING_KIND.items():
            follows[byte] = f
    else:
        kind[list(PRINTABLE)] = START
        kind[256 : 256 + len(MERGES)] = START
    kind[-1] = END
    for i, token in enumerate(tokens[: -len(SPECIAL_TOKENS)]):
        if end_after and token.endswith(tuple(end_after)):
            follows[i] = END
    return kind, follows
