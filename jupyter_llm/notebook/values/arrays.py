"""How arrays and tensors are told: shape, dtype, device, range, the first values.

The range is that of a sample where the array is large, and left out where reading it means waiting
for a device or a disk.
"""

from __future__ import annotations

import math
from typing import Any, Final

from jupyter_llm.common.controls import one_line
from jupyter_llm.notebook.values.kinds import Kind, Reading, clean, cut, listed, type_name
from jupyter_llm.notebook.values.peek import attribute, exported, is_a, library_types, short_name

_NUM_READ: Final = 1_000_000  # up to this size the range is that of all values
_NUM_SAMPLED: Final = 20_000
_NUM_SHOWN: Final = 6
_NUM_FIELDS: Final = 24


def _text(value: object) -> str:
    return cut(one_line(clean(str(value))), 80)


# --- numpy


def _plain_array(value: Any) -> Any:
    """An array of a subclass as a plain one, without copying."""
    ndarray = exported("numpy", "ndarray")
    return value if type(value) is ndarray else ndarray.view(value, ndarray)


def _array_head(value: Any, _reading: Reading) -> str:
    array = _plain_array(value)
    name = "numpy array" if array is value else type_name(value)
    fields = array.dtype.names
    dtype = f"{len(fields)} fields" if fields else _text(array.dtype)
    return f"{name}, shape {array.shape}, {dtype}"


def _array_body(value: Any, reading: Reading) -> str:
    array = _plain_array(value)
    for module, name, state in (
        ("numpy", "memmap", "on disk"),
        ("numpy.ma", "MaskedArray", "masked"),
    ):
        if is_a(value, exported(module, name)):
            return f"{state}; its values were not read"
    if array.dtype.names:
        return _records(array, reading)
    num_shown = min(_NUM_SHOWN, array.size)
    first = array.flat[:num_shown].tolist()
    parts = [f"{one:.6g}" if type(one) is float else cut(reading.brief(one), 24) for one in first]
    lines = [_range(array)] if not reading.deadline.is_over else []
    room = reading.max_chars - len("\n".join([*lines, "values: "]))
    values = listed(parts, room, array.size - len(parts))
    lines.append(f"values: {values}" if parts else "")
    return "\n".join(line for line in lines if line)


def _range(array: Any) -> str:
    """The smallest and the largest value, without NaN, and how many are NaN."""
    import numpy as np

    kind, size = array.dtype.kind, array.size
    if kind not in "iufmM" or not size:
        return ""
    step = 1 if size <= _NUM_READ else size // _NUM_SAMPLED
    sample = array.ravel(order="K") if step == 1 else array.flat[::step]
    # `fmin` passes over NaN and, unlike `nanmin`, warns of nothing.
    low, high = np.fmin.reduce(sample), np.fmax.reduce(sample)
    num_nan = 0 if kind in "iu" else int(np.count_nonzero(sample != sample))  # noqa: PLR0124
    nan = f", {num_nan} NaN" if num_nan else ""
    where = "" if step == 1 else f" (of {sample.size} values, evenly spaced)"
    return f"range {_scalar(low)} to {_scalar(high)}{nan}{where}"


def _scalar(value: Any) -> str:
    return f"{value:.6g}" if value.dtype.kind == "f" else str(value)


def _records(array: Any, reading: Reading) -> str:
    names = array.dtype.names
    fields = names[:_NUM_FIELDS]
    told = [f"{name} {_field_dtype(array.dtype[name])}" for name in fields]
    lines = ["fields: " + listed(told, 300, len(names) - len(fields))]
    for row in array[list(fields)].flat[:2].tolist():
        parts = [
            f"{name}={reading.brief_of(name, one, 24)}"
            for name, one in zip(fields, row, strict=True)
        ]
        room = max(40, (reading.max_chars - 330) // 2)
        lines.append(listed(parts, room, len(names) - len(fields)))
    return "\n".join(lines)


def _field_dtype(dtype: Any) -> str:
    return f"{len(dtype.names)} fields" if dtype.names else _text(dtype)


def _generic_head(value: Any, _reading: Reading) -> str:
    return f"numpy {value.dtype} {_text(value)}"


def _generic_inline(value: Any, _reading: Reading, room: int) -> str:
    return cut(_text(value), room)


# --- tensors


def _tensor_head(value: Any, _reading: Reading) -> str:
    shape = tuple(value.shape)
    parts = [f"{_package(value)} {short_name(type(value))}", f"shape {shape}", _text(value.dtype)]
    if _package(value) == "torch":
        parts.append(f"on {_text(value.device)}")
    return ", ".join(parts)


def _package(value: object) -> str:
    return next((package for package, _, cls in library_types(type(value))), "")


def _torch_body(value: Any, _reading: Reading) -> str:
    is_readable = (
        value.device.type == "cpu"
        and value.layout is exported("torch", "strided")
        and value.numel() > 0
        and not value.is_complex()
        and not value.is_quantized
    )
    if not is_readable or (value.numel() > _NUM_READ and not value.is_contiguous()):
        return ""
    flat = value.detach().reshape(-1)
    step = 1 if flat.numel() <= _NUM_READ else flat.numel() // _NUM_SAMPLED
    sample = flat[::step]
    low, high = sample.amin().item(), sample.amax().item()
    if math.isnan(low):
        return "contains NaN"
    where = "" if step == 1 else f" (of {sample.numel()} values, evenly spaced)"
    return f"range {low:.6g} to {high:.6g}{where}"


# --- sparse and lazy ones


def _sparse_head(value: Any, _reading: Reading) -> str:
    shape = tuple(value.shape)
    return (
        f"scipy {short_name(type(value))}, shape {shape}, {_text(value.dtype)}, {value.nnz} stored"
    )


def _dask_head(value: Any, _reading: Reading) -> str:
    chunks = attribute(value, "_Array__chunks")
    dtype = _text(getattr(attribute(value, "_meta"), "dtype", "unknown type"))
    shape = tuple(sum(sizes) for sizes in chunks)
    return f"dask Array, shape {shape}, {dtype}, lazy; it was not computed"


_TENSOR: Final = Kind(_tensor_head)

ARRAYS: Final = {("numpy", "ndarray"): Kind(_array_head, _array_body)}
# Of these only the library's own classes: a subclass may override what is called.
OWN_ARRAYS: Final = {
    ("numpy", "generic"): Kind(_generic_head, inline=_generic_inline),
    ("torch", "Tensor"): Kind(_tensor_head, _torch_body),
    ("jaxlib", "ArrayImpl"): _TENSOR,
    ("jaxlib", "Array"): _TENSOR,
    ("tensorflow", "Tensor"): _TENSOR,
    ("cupy", "ndarray"): _TENSOR,
    ("scipy", "spmatrix"): Kind(_sparse_head),
    ("scipy", "sparray"): Kind(_sparse_head),
    ("dask", "Array"): Kind(_dask_head),
}
