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
from support import tiny_model as tiny
from support.tiny_model import DIM, FFN_DIM, HEAD_DIM, NUM_KINDS, NUM_LAYERS, Array, matrix

WINDOW: Final = 64
INNER_DIM: Final = 2 * DIM  # llama.cpp wants twice
STATE_DIM, CONV_WIDTH, DT_RANK = 16, 4, 4


def write_tiny_recurrent(path: Path, *, seed: int = 0) -> Path:
    writer = tiny.start(path, "mamba")
    writer.add_head_count(0)
    writer.add_feed_forward_length(0)
    writer.add_ssm_conv_kernel(CONV_WIDTH)
    writer.add_ssm_inner_size(INNER_DIM)
    writer.add_ssm_state_size(STATE_DIM)
    writer.add_ssm_time_step_rank(DT_RANK)
    tensors = _recurrent_weights(np.random.default_rng(seed))
    return tiny.write(writer, path, tensors)


def write_tiny_window(path: Path, *, seed: int = 0) -> Path:
    writer = tiny.start(path, "gemma2")
    writer.add_head_count(tiny.NUM_HEADS)
    writer.add_head_count_kv(tiny.NUM_KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_feed_forward_length(FFN_DIM)
    writer.add_sliding_window(WINDOW)
    tensors = _window_weights(np.random.default_rng(seed))
    return tiny.write(writer, path, tensors)


def _recurrent_weights(rng: np.random.Generator) -> dict[str, Array]:
    kinds, followers = tiny.kinds_of(tiny.all_tokens(), utf8=False)
    num_tokens = len(kinds)
    embedding = matrix(rng, num_tokens, DIM, gain=8.0)
    head = matrix(rng, num_tokens, DIM, gain=4.0)
    reads = np.ones(DIM, np.float32)
    reads[:NUM_KINDS] = 0
    tensors = tiny.ends(embedding, head, kinds, followers)
    for index in range(NUM_LAYERS):
        out = matrix(rng, DIM, INNER_DIM, gain=4.0)
        out[:NUM_KINDS] = 0
        layer = {
            "attn_norm.weight": reads,
            "ssm_in.weight": matrix(rng, 2 * INNER_DIM, DIM),
            "ssm_conv1d.weight": matrix(rng, INNER_DIM, CONV_WIDTH),
            "ssm_conv1d.bias": np.zeros(INNER_DIM, np.float32),
            "ssm_x.weight": matrix(rng, DT_RANK + 2 * STATE_DIM, INNER_DIM, gain=2.0),
            "ssm_dt.weight": matrix(rng, INNER_DIM, DT_RANK),
            "ssm_dt.bias": np.full(INNER_DIM, -3.0, np.float32),  # it forgets slowly
            "ssm_a": -np.tile(np.linspace(0.02, 1, STATE_DIM, dtype=np.float32), (INNER_DIM, 1)),
            "ssm_d": np.ones(INNER_DIM, np.float32),
            "ssm_out.weight": out,
        }
        tensors |= {f"blk.{index}.{name}": tensor for name, tensor in layer.items()}
    return tensors


def _window_weights(rng: np.random.Generator) -> dict[str, Array]:
    kv_dim = tiny.NUM_KV_HEADS * HEAD_DIM
    # The head is the embedding: were it large, the next token would be the last one again.
    tensors = {
        "token_embd.weight": matrix(rng, len(tiny.all_tokens()), DIM, gain=0.8),
        "output_norm.weight": np.full(DIM, 8.0, np.float32),
    }
    for index in range(NUM_LAYERS):
        layer = {
            "attn_norm": np.ones(DIM, np.float32),
            "attn_q": matrix(rng, DIM, DIM, gain=3.0),
            "attn_k": matrix(rng, kv_dim, DIM),
            "attn_v": matrix(rng, kv_dim, DIM),
            "attn_output": matrix(rng, DIM, DIM),
            "post_attention_norm": np.full(DIM, 2.0, np.float32),
            "ffn_norm": np.ones(DIM, np.float32),
            "ffn_gate": matrix(rng, FFN_DIM, DIM, gain=2.0),
            "ffn_up": matrix(rng, FFN_DIM, DIM),
            "ffn_down": matrix(rng, DIM, FFN_DIM),
            "post_ffw_norm": np.full(DIM, 2.0, np.float32),
        }
        tensors |= {f"blk.{index}.{name}.weight": tensor for name, tensor in layer.items()}
    return tensors


def write_tiny_encoder(
    path: Path, *, n_ctx: int = 256, seed: int = 0, is_ranking: bool = False
) -> Path:
    """A model that makes vectors only: each token looks at all others, before and after it.

    One that ranks makes of them a number.
    """
    writer = tiny.start(path, "bert", n_ctx=n_ctx, chat_template=None)
    writer.add_head_count(tiny.NUM_HEADS)
    writer.add_feed_forward_length(FFN_DIM)
    writer.add_layer_norm_eps(1e-6)
    writer.add_causal_attention(value=False)
    writer.add_pooling_type(gguf.PoolingType.RANK if is_ranking else gguf.PoolingType.MEAN)
    writer.add_token_type_count(1)
    tensors = _encoder_weights(np.random.default_rng(seed), n_ctx)
    if is_ranking:
        shapes = {"cls.weight": (DIM, DIM), "cls.bias": (DIM,), "cls.output.weight": (1, DIM)}
        tensors |= {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        tensors["cls.output.bias"] = np.zeros(1, np.float32)
    return tiny.write(writer, path, tensors)


def _encoder_weights(rng: np.random.Generator, n_ctx: int) -> dict[str, Array]:
    num_tokens = len(tiny.all_tokens())
    tensors = {
        "token_embd.weight": matrix(rng, num_tokens, DIM, gain=8.0),
        "token_types.weight": matrix(rng, 1, DIM),
        "position_embd.weight": matrix(rng, n_ctx, DIM),
    }
    shapes = {
        **{f"attn_{name}": (DIM, DIM) for name in ("q", "k", "v", "output")},
        "ffn_up": (FFN_DIM, DIM),
        "ffn_down": (DIM, FFN_DIM),
    }
    norms = ["token_embd_norm"]
    for index in range(NUM_LAYERS):
        for name, shape in shapes.items():
            tensors[f"blk.{index}.{name}.weight"] = matrix(rng, *shape)
            tensors[f"blk.{index}.{name}.bias"] = np.zeros(shape[0], np.float32)
        norms += [f"blk.{index}.attn_output_norm", f"blk.{index}.layer_output_norm"]
    for name in norms:
        tensors[f"{name}.weight"] = np.ones(DIM, np.float32)
        tensors[f"{name}.bias"] = np.zeros(DIM, np.float32)
    return tensors
