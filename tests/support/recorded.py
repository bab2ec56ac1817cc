"""Records of answers, and notebooks that hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output
from support.scripted import CONTEXT

from jupyter_llm.engine.completion import Usage, answer_record
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.provenance import METADATA_KEY, ModelFacts, Provenance, Writer
from jupyter_llm.engine.recommended import Recommended
from jupyter_llm.notebook.code.marks import mark
from jupyter_llm.records.records import landed

HASH = "0123456789abcdef" * 4
TIME = "2026-11-26T12:00:00Z"  # the same however long a test takes: it is part of the digest


def record(text: str = "Yes", **changes: Any) -> Provenance:
    """Return a record of an answer to nothing in particular."""
    context = replace(CONTEXT, lane="exact", n_batch=256)
    model = ModelFacts(
        name="tiny", file="tiny.gguf", sha256=HASH, quantization="F32", license="mit"
    )
    params = SamplingParams(temperature=1, stop=(".",), logit_bias=((5, -math.inf),))
    made = answer_record(
        Writer(model=model, context=context, build="test"),
        params.filled(Recommended().params),
        seed=7,
        exact=True,
        prompt_ids=[1, 2, 3],
        text=text,
        usage=Usage(prompt_tokens=3, cached_tokens=1, completion_tokens=2),
        finish_reason="stop",
    )
    return replace(made, **{"time": TIME, **changes})


def shown(text: str, made: Provenance | Mapping[str, Any] | None, note: str = "") -> Any:
    """Return the output of a prompt, as a view leaves it."""
    plain = f"{text}\n\n({note})" if note else text
    data = made.to_line() if isinstance(made, Provenance) else made
    metadata = {METADATA_KEY: data} if data is not None else {}
    return new_output(
        "display_data", {"text/plain": plain, "text/markdown": plain}, metadata=metadata
    )


def asked(*outputs: Any, source: str = "%%llm\nWhy?") -> Any:
    return new_code_cell(source, outputs=list(outputs), execution_count=1)


def generated(answer: Provenance, body: str, **options: Any) -> tuple[Any, Any]:
    """Return the cell of a prompt for code, and the cell where the code landed."""
    made = landed(answer, body)
    announced = new_output(
        "display_data", {"text/plain": "1 cell below"}, metadata=made.to_metadata()
    )
    return asked(announced, source="%%llm -f code\nAdd."), new_code_cell(
        mark(body, made.model.name, made.record_id), **options
    )


def saved(path: Path, cells: Sequence[Any]) -> Path:
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path
