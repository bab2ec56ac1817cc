"""Writes tiny models whose memory is of another kind than that of `tiny_model`.

One is recurrent: its memory is a state, of which no end can be cut off. The other one looks back
through a sliding window in every second layer. Both write with the vocabulary of `tiny_model`; the
text need not be printable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gguf
import numpy as np
from support.tiny_model import (
    CHAT_TEMPLATE,
    DIM,
    FFN_DIM,
    HEAD_DIM,
    KIND_LIFT,
    KIND_SIGNAL,
    MERGES,
    NO_KIND,
    NUM_HEADS,
    NUM_KINDS,
    NUM_KV_HEADS,
    NUM_LAYERS,
    SPECIAL_TOKENS,
    Array,
    _add_tokenizer,
    _kinds,
    _random,
    byte_symbols,
)

WINDOW: Final = 64
INNER_DIM: Final = 2 * DIM  # llama.cpp wants twice
STATE_DIM, CONV_WIDTH, DT_RANK = 16, 4, 4
N_CTX: Final = 4096


def write_tiny_recurrent(path: Path, *, seed: int = 0) -> Path:
    """Write a model of the architecture `mamba` to `path` and return the path."""
    writer = _start(path, "mamba")
    writer.add_head_count(0)
    writer.add_feed_forward_length(0)
    writer.add_ssm_conv_kernel(CONV_WIDTH)
    writer.add_ssm_inner_size(INNER_DIM)
    writer.add_ssm_state_size(STATE_DIM)
    writer.add_ssm_time_step_rank(DT_RANK)
    tensors = _recurrent_weights(np.random.default_rng(seed))
    return _finish(writer, path, tensors)


def write_tiny_window(path: Path, *, seed: int = 0) -> Path:
    """Write a model of the architecture `gemma2` to `path` and return the path."""
    writer = _start(path, "gemma2")
    writer.add_head_count(NUM_HEADS)
    writer.add_head_count_kv(NUM_KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_feed_forward_length(FFN_DIM)
    writer.add_sliding_window(WINDOW)
    tensors = _window_weights(np.random.default_rng(seed))
    return _finish(writer, path, tensors)


def _tokens() -> list[str]:
    return [*byte_symbols(), *(merge.replace(" ", "") for merge in MERGES), *SPECIAL_TOKENS]


def _start(path: Path, architecture: str) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"Tiny {architecture}")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(DIM)
    writer.add_block_count(NUM_LAYERS)
    writer.add_layer_norm_rms_eps(1e-5)
    _add_tokenizer(writer, _tokens())
    writer.add_chat_template(CHAT_TEMPLATE)
    return writer


def _finish(writer: gguf.GGUFWriter, path: Path, tensors: dict[str, Array]) -> Path:
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _recurrent_weights(rng: np.random.Generator) -> dict[str, Array]:
    kinds, followers = _kinds(_tokens(), utf8=False, end_after="")
    num_tokens = len(kinds)
    embedding = _random(rng, num_tokens, DIM, gain=8.0)
    head = _random(rng, num_tokens, DIM, gain=4.0)
    embedding[:, :NUM_KINDS] = 0
    embedding[np.arange(num_tokens), followers] = KIND_SIGNAL
    head[:, :NUM_KINDS] = 0
    can_come = np.flatnonzero(kinds != NO_KIND)
    head[can_come, kinds[can_come]] = KIND_LIFT
    reads = np.ones(DIM, np.float32)
    reads[:NUM_KINDS] = 0
    tensors = {
        "token_embd.weight": embedding,
        "output_norm.weight": np.ones(DIM, np.float32),
        "output.weight": head,
    }
    for index in range(NUM_LAYERS):
        out = _random(rng, DIM, INNER_DIM, gain=4.0)
        out[:NUM_KINDS] = 0
        layer = {
            "attn_norm.weight": reads,
            "ssm_in.weight": _random(rng, 2 * INNER_DIM, DIM),
            "ssm_conv1d.weight": _random(rng, INNER_DIM, CONV_WIDTH),
            "ssm_conv1d.bias": np.zeros(INNER_DIM, np.float32),
            "ssm_x.weight": _random(rng, DT_RANK + 2 * STATE_DIM, INNER_DIM, gain=2.0),
            "ssm_dt.weight": _random(rng, INNER_DIM, DT_RANK),
            "ssm_dt.bias": np.full(INNER_DIM, -3.0, np.float32),  # it forgets slowly
            "ssm_a": -np.tile(np.linspace(0.02, 1, STATE_DIM, dtype=np.float32), (INNER_DIM, 1)),
            "ssm_d": np.ones(INNER_DIM, np.float32),
            "ssm_out.weight": out,
        }
        tensors |= {f"blk.{index}.{name}": tensor for name, tensor in layer.items()}
    return tensors


def _window_weights(rng: np.random.Generator) -> dict[str, Array]:
    kv_dim = NUM_KV_HEADS * HEAD_DIM
    # The head is the embedding: were it large, the next token would be the last one again.
    tensors = {
        "token_embd.weight": _random(rng, len(_tokens()), DIM, gain=0.8),
        "output_norm.weight": np.full(DIM, 8.0, np.float32),
    }
    for index in range(NUM_LAYERS):
        layer = {
            "attn_norm": np.ones(DIM, np.float32),
            "attn_q": _random(rng, DIM, DIM, gain=3.0),
            "attn_k": _random(rng, kv_dim, DIM),
            "attn_v": _random(rng, kv_dim, DIM),
            "attn_output": _random(rng, DIM, DIM),
            "post_attention_norm": np.full(DIM, 2.0, np.float32),
            "ffn_norm": np.ones(DIM, np.float32),
            "ffn_gate": _random(rng, FFN_DIM, DIM, gain=2.0),
            "ffn_up": _random(rng, FFN_DIM, DIM),
            "ffn_down": _random(rng, DIM, FFN_DIM),
            "post_ffw_norm": np.full(DIM, 2.0, np.float32),
        }
        tensors |= {f"blk.{index}.{name}.weight": tensor for name, tensor in layer.items()}
    return tensors
