from __future__ import annotations

import errno
import math
import os
import re
import struct
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mutated import broken_headers
from support.tiny_kinds import write_tiny_recurrent, write_tiny_window
from support.tiny_model import write_tiny_model

from jupyter_llm import llm
from jupyter_llm.errors import ModelFileError
from jupyter_llm.models import inspect as module
from jupyter_llm.models.inspect import ModelFile, ModelShape, inspect

HUGE = 1 << 63
U8, I32, F32, STRING, ARRAY = 0, 5, 6, 8, 9


def message_about(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        inspect(path)
    assert caught.value.path == path
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


def text(content: str) -> bytes:
    return struct.pack("<Q", len(content)) + content.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, values: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + values


def header(*parts: bytes, num_tensors: int = 0, num_keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_keys) + b"".join(parts)


def tensor(*dimensions: int, kind: int = 0, offset: int = 0) -> bytes:
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text("x") + shape + struct.pack("<IQ", kind, offset)


def test_the_header_says_what_the_model_is(tiny_gguf: Path) -> None:
    assert inspect(tiny_gguf) == ModelFile(
        path=tiny_gguf,
        name="Tiny Llama",
        architecture="llama",
        quantization="F32",
        size_bytes=tiny_gguf.stat().st_size,
        n_ctx_train=4096,
        num_parameters=108_736,
        license="cc0-1.0",
        has_chat_template=True,
        shape=ModelShape(
            num_layers=2,
            n_embd=64,
            n_vocab=271,
            num_heads=4,
            num_kv_heads=4,
            key_length=16,
            value_length=16,
            state_elements=0,
        ),
    )


def write_header(path: Path, architecture: str, **numbers: int | list[int]) -> ModelShape:
    """Write a header with these hyperparameters and return the shape that is read from it."""
    parts = [pair("general.architecture", STRING, text(architecture))]
    for name, value in numbers.items():
        key = f"{architecture}.{name.replace('__', '.')}"
        if isinstance(value, list):
            values = struct.pack(f"<{len(value)}i", *value)
            parts.append(pair(key, ARRAY, array(I32, len(value), values)))
        else:
            parts.append(pair(key, I32, struct.pack("<i", value)))
    path.write_bytes(header(*parts, num_keys=len(parts)))
    return inspect(path).shape


SHAPES: dict[str, tuple[dict[str, int | list[int]], tuple[int, int, int]]] = {
    "llama": ({"attention__head_count": 8}, (80, 80, 80)),
    "gemma3": (
        {
            "attention__head_count": 8,
            "attention__head_count_kv": 2,
            "attention__key_length": 256,
        },
        (20, 256, 80),
    ),
    "deci": (
        {"attention__head_count": [16] * 10, "attention__head_count_kv": [2, 1] * 5},
        (15, 40, 40),
    ),
}


@pytest.mark.parametrize("architecture", SHAPES)
def test_heads_and_their_lengths_may_be_said_or_follow(tmp_path: Path, architecture: str) -> None:
    numbers, expected = SHAPES[architecture]
    sizes = {"block_count": 10, "embedding_length": 640, **numbers}
    shape = write_header(tmp_path / "model.gguf", architecture, **sizes)
    assert (shape.num_kv_heads, shape.key_length, shape.value_length) == expected


MAMBA = {"ssm__conv_kernel": 4, "ssm__inner_size": 100, "ssm__state_size": 16}
TWO_HEADS = {"attention__head_count_kv": 2}
MAMBA_STATE = 3 * 100 + 100 * 16
RECURRENT: dict[str, tuple[dict[str, int | list[int]], int, int]] = {
    "mamba": ({"attention__head_count": 0, **MAMBA}, 0, 8 * MAMBA_STATE),
    "mamba2": ({**MAMBA, "ssm__group_count": 2}, 0, 8 * (MAMBA_STATE + 3 * 2 * 2 * 16)),
    "granitehybrid": ({"attention__head_count_kv": [0, 0, 0, 2] * 2, **MAMBA}, 4, 6 * MAMBA_STATE),
    "falcon-h1": ({**TWO_HEADS, **MAMBA}, 16, 8 * MAMBA_STATE),
    "qwen3next": ({**TWO_HEADS, "full_attention_interval": 4, **MAMBA}, 4, 6 * MAMBA_STATE),
    "rwkv7": ({"wkv__head_size": 16, "attention__head_count": 0}, 0, 8 * 64 * (16 + 2)),
    "lfm2": ({"attention__head_count_kv": [0, 2] * 4, "shortconv__l_cache": 3}, 8, 4 * 64 * 2),
}


@pytest.mark.parametrize("architecture", RECURRENT)
def test_what_recurrent_layers_remember_is_counted(tmp_path: Path, architecture: str) -> None:
    numbers, num_kv_heads, state_elements = RECURRENT[architecture]
    numbers = {"block_count": 8, "embedding_length": 64, **numbers}
    shape = write_header(tmp_path / "model.gguf", architecture, **numbers)
    assert (shape.num_kv_heads, shape.state_elements) == (num_kv_heads, state_elements)


SIZES: dict[str, int | list[int]] = {"block_count": 2, "embedding_length": 64}


@pytest.mark.parametrize(
    "wrong",
    [
        {"block_count": 0},
        {"block_count": 513},
        {"block_count": -1},
        {"embedding_length": -64},
        {"context_length": 7},
        {"attention__head_count": [-5, -5]},
        {"attention__head_count_kv": -1},
        {"expert_count": 8},
        {"expert_used_count": 2},
        {"expert_count": 2, "expert_used_count": 3},
        {"expert_count": 1025, "expert_used_count": 1},
        {"pooling_type": 99},
    ],
    ids=str,
)
def test_what_no_sound_model_says_is_refused_with_the_number(
    tmp_path: Path, wrong: dict[str, int | list[int]]
) -> None:
    right = {**SIZES, "expert_count": 8, "expert_used_count": 2, "pooling_type": 3}
    assert write_header(tmp_path / "right.gguf", "llama", **right).num_layers == 2
    with pytest.raises(ModelFileError, match=r"value that no model has, .*\d.*Download it"):
        write_header(tmp_path / "model.gguf", "llama", **{**SIZES, **wrong})


@pytest.mark.parametrize(
    ("key", "kind", "value", "said"),
    [
        *(
            ("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", value), "epsilon = ")
            for value in (math.nan, -1e-5, math.inf)
        ),
        *(
            ("general.alignment", I32, struct.pack("<i", value), f"general.alignment = {value}.")
            for value in (0, 1, 24, 1 << 20)
        ),
        *(
            ("tokenizer.ggml.model", STRING, text(name), said)
            for name, said in (("none", "no vocabulary"), ("llama", "without scores"))
        ),
        ("general.type", STRING, text("adapter"), "is a LoRA adapter, not a model"),
    ],
)
def test_a_value_that_no_model_has_is_refused(
    tmp_path: Path, key: str, kind: int, value: bytes, said: str
) -> None:
    parts = [pair("general.architecture", STRING, text("llama")), pair(key, kind, value)]
    (tmp_path / "model.gguf").write_bytes(header(*parts, num_keys=2))
    assert said in message_about(tmp_path / "model.gguf")


def test_a_header_may_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "bare.gguf").write_bytes(header())
    file = inspect(tmp_path / "bare.gguf")
    assert (file.architecture, file.quantization) == ("unknown", "unknown")
    assert (file.name, file.license, file.n_ctx_train) == (None, None, None)


def test_types_agree_with_the_gguf_package() -> None:
    sizes = {kind.value: size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    sizes[gguf.GGMLQuantizationType.Q8_1.value] = (32, 36)  # so ggml.c; the package says 40
    assert sizes == module._BLOCKS
    names = {
        kind.value: kind.name.removeprefix("ALL_").removeprefix("MOSTLY_").removesuffix("_MOE")
        for kind in gguf.LlamaFileType
        if kind != gguf.LlamaFileType.GUESSED
    }
    assert names == module._FILE_TYPES


IMPOSTORS = {
    "empty": (b"", "it is empty. Download it again"),
    "zeros": (bytes(4096), "zeros. Download it again"),
    "html": (b"\n<!DOCTYPE html><title>Sign in</title>", "a web page. Download the file itself"),
    "html with a mark": (b"\xef\xbb\xbf<html>", "a web page"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "json": (b'{"error": "not found"}', "JSON"),
    "zip": (b"PK\x03\x04\x14\0\0\0", "zip archive or PyTorch weights"),
    "safetensors": (struct.pack("<Q", 40) + b'{"__metadata__":{}}', "safetensors"),
    "png": (b"\x89PNG\r\n", r"b'\x89PNG'"),
}


@pytest.mark.parametrize(("start", "said"), IMPOSTORS.values(), ids=IMPOSTORS)
def test_another_kind_of_file_is_named(tmp_path: Path, start: bytes, said: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(start)
    message = message_about(path)
    assert message.startswith("model.gguf is not a GGUF file: it ")
    assert said in message


def _missing(path: Path) -> None:
    pass


def _circle(path: Path) -> None:
    path.symlink_to(path)


def _zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_missing, "There is no file .*Check the path"),
        (Path.mkdir, "is a folder. Give the .gguf file inside"),
        (os.mkfifo, "is not a regular file"),
        (_zeros, "is not a regular file"),
        (_circle, f"cannot be read: {os.strerror(errno.ELOOP)}"),
    ],
    ids=["missing", "folder", "pipe", "link to a device", "circle of links"],
)
def test_what_cannot_be_opened_is_said(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "model.gguf"
    make(path)
    with pytest.raises(ModelFileError, match=said):
        inspect(path)


def test_what_can_be_no_path_is_said() -> None:
    with pytest.raises(ModelFileError, match=r"'.*x\\x00\.gguf' cannot be a path"):
        llm.use("x\0.gguf")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (header(version=1), "is in version 1 of GGUF, not 2 or 3"),
        (header(version=99), "is in version 99 of GGUF, not 2 or 3"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is in version 50331648 of GGUF, not 2 or 3"),
    ],
)
def test_an_unknown_version_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "model.gguf").write_bytes(data)
    assert said in message_about(tmp_path / "model.gguf")


@pytest.mark.parametrize("size", [4, 7, 20, 24, 100, 5000])
def test_a_cut_header_is_said_to_be_cut(tiny_gguf: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / "cut.gguf").write_bytes(tiny_gguf.read_bytes()[:size])
    assert "damaged or cut off. Download the file again" in message_about(tmp_path / "cut.gguf")


def test_cut_weights_are_told_with_the_sizes(tiny_gguf: Path, tmp_path: Path) -> None:
    data, path = tiny_gguf.read_bytes(), tmp_path / "cut.gguf"
    path.write_bytes(data[:-1])
    assert f"truncated: {len(data) - 1:,} of {len(data):,} bytes" in message_about(path)


ABSURD = {
    "tensors": header(num_tensors=HUGE),
    "keys": header(num_keys=HUGE),
    "zero keys": header(bytes(4000), num_keys=60_000),
    "key length": header(struct.pack("<Q", HUGE), num_keys=1),
    "text length": header(pair("k", STRING, struct.pack("<Q", 2 * HUGE - 1)), num_keys=1),
    "array": header(pair("k", ARRAY, array(U8, HUGE)), num_keys=1),
    "texts": header(pair("k", ARRAY, array(STRING, HUGE, bytes(800))), num_keys=1),
    "text in array": header(
        pair("k", ARRAY, array(STRING, 2, struct.pack("<Q", 2 * HUGE - 1))), num_keys=1
    ),
    "nested": header(pair("k", ARRAY, array(ARRAY, 1, array(U8, 1))), num_keys=1),
    "type": header(pair("k", 13, b"\0"), num_keys=1),
    "dimensions": header(text("x") + struct.pack("<I", 0xFFFFFFFF), num_tensors=1),
    "elements": header(tensor(HUGE, HUGE, HUGE, HUGE), num_tensors=1),
    "offset": header(tensor(1, offset=HUGE), num_tensors=1),
}


@pytest.mark.parametrize("data", ABSURD.values(), ids=ABSURD)
def test_absurd_numbers_cost_no_memory(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "absurd.gguf"
    path.write_bytes(data)
    tracemalloc.start()
    assert "damaged or cut off" in message_about(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "damaged.gguf"


def refuses_or_describes(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    module._inspect.cache_clear()  # files written in one tick of the clock look the same
    try:
        assert inspect(path).size_bytes == len(data)
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017  either outcome is right


@settings(max_examples=150, deadline=5000)
@given(data=st.data())
def test_flipped_bytes_raise_nothing_but_our_error(
    data: st.DataObject, tiny_gguf: Path, damaged: Path
) -> None:
    content = bytearray(tiny_gguf.read_bytes()[:9000])  # the header, and little more
    positions = st.integers(0, len(content) - 1)
    for position, byte in data.draw(
        st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=20)
    ):
        content[position] = byte
    refuses_or_describes(damaged, bytes(content))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_no_broken_header_costs_much_or_raises_another_error(
    damaged: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, ends = damaged.parent, Counter[str]()
    sources = [
        write_tiny_model(folder / "llama.gguf"),
        write_tiny_recurrent(folder / "mamba.gguf"),
        write_tiny_window(folder / "gemma2.gguf"),
    ]
    slowest_s, largest = 0.0, 0
    for what in broken_headers(sources, damaged, count=3000):
        ends[end_of(damaged)] += 1
        took_s = min(spent_s(damaged) for _ in range(3))
        tracemalloc.start()
        end_of(damaged)
        num_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert took_s < 0.05, what
        assert num_bytes < 50_000_000, what
        slowest_s, largest = max(slowest_s, took_s), max(largest, num_bytes)
    with capsys.disabled():
        print(f"\n{dict(ends)}, at most {slowest_s * 1e3:.0f} ms and {largest / 1e6:.0f} MB")
    assert len(ends) > 3


def end_of(path: Path) -> str:
    """What comes of reading a header: a sound answer, or our error in one line."""
    module._inspect.cache_clear()
    try:
        file = inspect(path)
    except ModelFileError as error:
        assert "\n" not in str(error)  # noqa: PT017  either outcome is right
        return re.sub(r".*(damaged or cut|truncated|no model has|version).*", r"\1", str(error))
    assert 0 <= file.num_parameters < 1 << 50
    return "answered"


def spent_s(path: Path) -> float:
    began_s = time.process_time()
    end_of(path)
    return time.process_time() - began_s


def test_a_file_that_is_cut_off_while_it_is_read_is_an_error(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf.read_bytes())
    count = module._GgufHeader._count

    def cut(reader: module._GgufHeader, most: int) -> int:
        os.truncate(path, 8)
        return count(reader, most)

    monkeypatch.setattr(module._GgufHeader, "_count", cut)
    end_of(path)


@pytest.mark.parametrize("count", [10_000, 700_000])
def test_a_header_may_be_long(tmp_path: Path, count: int) -> None:
    words = pair("tokenizer.ggml.merges", ARRAY, array(STRING, count, text("a word") * count))
    name = pair("general.name", STRING, text("Long"))
    (tmp_path / "long.gguf").write_bytes(header(words, name, num_keys=2))
    assert inspect(tmp_path / "long.gguf").name == "Long"
