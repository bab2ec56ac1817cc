"""The files that code reads, as it names them. Reads none."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

READING: Final = ("read", "scan", "load", "open", "genfromtxt", "fromfile", "imread")
"""What the names of functions begin with that may read a file."""

_READERS: Final = frozenset(
    {
        *("read_csv", "read_table", "read_fwf", "read_excel", "read_json", "read_ndjson"),
        *("read_parquet", "read_feather", "read_ipc", "read_pickle", "read_hdf", "read_orc"),
        *("read_stata", "read_spss", "read_sas", "read_xml", "read_avro", "scan_csv"),
        *("scan_parquet", "scan_ndjson", "scan_ipc", "imread", "load", "loadtxt", "genfromtxt"),
        *("fromfile",),
    }
)
_SUFFIXES: Final = frozenset(
    {
        *(".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx", ".xls"),
        *(".feather", ".arrow", ".ipc", ".pkl", ".pickle", ".npy", ".npz", ".h5", ".hdf5"),
        *(".png", ".jpg", ".jpeg", ".gif", ".tif", ".dat", ".xml", ".html", ".yaml", ".yml"),
        *(".toml", ".md", ".log", ".gz", ".zip", ".joblib", ".dta", ".orc", ".avro"),
    }
)


def path_read(call: ast.Call) -> str:
    """The path of the one local file that a call surely reads; "" if nobody can tell."""
    match call:
        case ast.Call(func=ast.Name(id="open"), args=[ast.Constant(value=str(path)), *rest]):
            is_read = not rest or "r" in ast.unparse(rest[0])
            is_read = is_read and not any(keyword.arg == "mode" for keyword in call.keywords)
        case ast.Call(
            func=ast.Name(id=name) | ast.Attribute(attr=name),
            args=[ast.Constant(value=str(path)), *_],
        ):
            is_read = name in _READERS
        case _:
            return ""
    is_one = not any(sign in path for sign in ("://", "\n", "*", "?", "[", "{", "\0"))
    return path if is_read and is_one and Path(path).suffix.lower() in _SUFFIXES else ""


def may_exist(path: str) -> bool:
    """Whether there is a file, or nobody can tell."""
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # no path at all
        return True
