"""How arrays are told: shape, dtype, and of numpy's the range and the first values.

Of tensors nothing is read, which might mean waiting for a device.
"""

from __future__ import annotations

from typing import Any, Final

from jupyter_llm.common.controls import one_line
from jupyter_llm.notebook.values.kinds import Kind, Reading, clean, cut, listed, type_name
from jupyter_llm.notebook.values.objects import SAID
from jupyter_llm.notebook.values.peek import exported, is_a, library_types, short_name

_NUM_READ: Final = 5_000_000  # for the range
_NUM_SHOWN: Final = 6
_NUM_FIELDS: Final = 24
_UNREAD: Final = (("numpy", "memmap", "on disk"), ("numpy.ma", "MaskedArray", "masked"))


def _text(value: object) -> str:
    return cut(one_line(clean(str(value))), 80)


def _plain_array(value: Any) -> Any:
    """An array of a subclass as a plain one, without copying."""
    ndarray = exported("numpy", "ndarray")
    return value if type(value) is ndarray else ndarray.view(value, ndarray)


def _array_head(value: Any, _reading: Reading) -> str:
    array = _plain_array(value)
    name = "numpy array" if array is value else type_name(value)
    return f"{name}, shape {array.shape}, {_text(array.dtype)}"


def _array_body(value: Any, reading: Reading) -> str:
    array = _plain_array(value)
    for module, name, state in _UNREAD:
        if is_a(value, exported(module, name)):
            return f"{state}; its values were not read"
    if not array.size:
        return ""
    if names := array.dtype.names:
        few = list(names[:_NUM_FIELDS])
        rows = [dict(zip(few, row, strict=True)) for row in array[few].flat[:2].tolist()]
        return "\n".join(reading.brief(row, reading.max_chars // 2) for row in rows)
    first = array.flat[:_NUM_SHOWN].tolist()
    parts = [f"{one:.6g}" if type(one) is float else cut(reading.brief(one), 24) for one in first]
    lines = [_range(array)] if reading.deadline.left_s else []
    room = reading.max_chars - len("\n".join([*lines, "values: "]))
    lines.append(f"values: {listed(parts, room, array.size - len(parts))}")
    return "\n".join(line for line in lines if line)


def _range(array: Any) -> str:
    """The smallest and the largest value, without NaN, and how many are NaN."""
    import numpy as np

    kind = array.dtype.kind
    if kind not in "iufmM" or array.size > _NUM_READ:
        return ""
    values = array.ravel(order="K")
    # `fmin` passes over NaN and, unlike `nanmin`, warns of nothing.
    ends = [np.fmin.reduce(values), np.fmax.reduce(values)]
    low, high = (f"{one:.6g}" if kind == "f" else str(one) for one in ends)
    num_nan = 0 if kind in "iu" else int(np.count_nonzero(values != values))  # noqa: PLR0124
    return f"range {low} to {high}{f', {num_nan} NaN' if num_nan else ''}"


def _tensor_head(value: Any, _reading: Reading) -> str:
    package = next((package for package, _, _ in library_types(type(value))), "")
    told = f"{package} {short_name(type(value))}, shape {tuple(value.shape)}, {_text(value.dtype)}"
    return f"{told}, on {_text(value.device)}" if package == "torch" else told


ARRAYS: Final = {("numpy", "ndarray"): Kind(_array_head, _array_body)}
# Of these only the library's own classes: a subclass may override what is called.
OWN_ARRAYS: Final = {("numpy", "generic"): SAID} | dict.fromkeys(
    (
        *(("torch", "Tensor"), ("tensorflow", "Tensor"), ("cupy", "ndarray")),
        *(("jaxlib", "ArrayImpl"), ("jaxlib", "Array")),
        *(("scipy", "spmatrix"), ("scipy", "sparray")),
    ),
    Kind(_tensor_head),
)
