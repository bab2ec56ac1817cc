"""LoRA adapters: checked, tried, loaded with the model, and named by what is written with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.engines import load, wait_until_idle
from support.tiny_kinds import write_tiny_lora
from support.tiny_model import write_tiny_model

from jupyter_llm import llm
from jupyter_llm.engine.completion import Completion
from jupyter_llm.engine.local import trial
from jupyter_llm.engine.local.engine import LocalEngine
from jupyter_llm.engine.local.trial import try_file
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.provenance import AdapterFacts, Provenance
from jupyter_llm.engine.request import Request, chat_prompt
from jupyter_llm.errors import JupyterLLMError, ModelFileError, ModelLoadError
from jupyter_llm.frontends.prompt.commands import COMMANDS, Call
from jupyter_llm.models.adapters import Lora
from jupyter_llm.models.fingerprint import file_sha256
from jupyter_llm.records.verify import verify

LONG = "Tell me of a lighthouse, and who lived in it. " * 20
GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_tiny_lora(tmp_path / "style.gguf")


def ask(engine: LocalEngine, prompt: str = "Tell me of the sea.") -> Completion:
    request = Request(prompt=chat_prompt(prompt, None), params=GREEDY)
    return engine.submit(request).result()


def text(path: Path, **options: Any) -> str:
    engine = load(path, checkpoints=False, **options)
    try:
        return ask(engine).text
    finally:
        engine.close()


def adapter_of(record: Provenance | None) -> AdapterFacts:
    assert record is not None
    assert record.model.adapter is not None
    return record.model.adapter


def test_an_adapter_and_its_scale_change_what_is_written(tiny_gguf: Path, lora: Path) -> None:
    plain = text(tiny_gguf)
    adapted = text(tiny_gguf, lora=str(lora))
    assert adapted not in (plain, text(tiny_gguf, lora=f"{lora}:0.5"))
    assert text(tiny_gguf, lora=f"{lora}:1e-9") == plain
    assert text(tiny_gguf, lora=lora, exact=True) == adapted


def test_what_was_read_without_an_adapter_is_not_gone_on_from_with_one(
    tiny_gguf: Path, lora: Path
) -> None:
    file_sha256(tiny_gguf)  # so that what is read is kept on the disk
    cached = []
    for options in ({}, {"lora": lora}, {"lora": f"{lora}:0.5"}, {}, {"lora": lora}):
        engine = load(tiny_gguf, **options)
        cached.append(ask(engine, LONG).usage.cached_tokens)
        wait_until_idle(engine)
        engine.close()
    assert cached[:3] == [0, 0, 0]
    assert min(cached[3:]) > 0


def test_a_record_names_the_adapter_and_is_read_back(tiny_gguf: Path, lora: Path) -> None:
    engine = load(tiny_gguf, lora=f"{lora}:0.5")
    record = ask(engine).provenance
    facts = AdapterFacts(file="style.gguf", sha256=file_sha256(lora), scale=0.5)
    assert adapter_of(record) == facts
    assert record is not None
    again = Provenance.from_json(record.to_json())
    assert (adapter_of(again), again.is_altered) == (facts, False)
    edited = replace(again, model=replace(again.model, adapter=replace(facts, scale=1.0)))
    assert edited.is_altered


def test_answers_with_and_without_an_adapter_are_written_again(
    tiny_gguf: Path, lora: Path, fresh_llm: None
) -> None:
    file_sha256(tiny_gguf)
    sampling: dict[str, Any] = {"seed": 1, "max_tokens": 8, "ignore_eos": True}
    for options in ({}, {"lora": lora}, {"lora": f"{lora}:0.5"}):
        llm.use(tiny_gguf, n_threads=1, **options)
        llm("Hello", **sampling)
    assert len({answer.text for answer in llm.answers}) == 3
    assert llm.verify().all_same
    write_tiny_lora(lora, seed=8)
    rows = verify(list(llm.answers), llm.current.named, llm.prompts.find).rows
    assert [row.result for row in rows] == ["same", "not replayable", "not replayable"]
    assert "style.gguf" in rows[1].remarks[0]


def damaged(path: Path) -> Path:
    path.write_bytes(write_tiny_lora(path).read_bytes()[:-40])
    return path


UNFIT: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "There is no file"),
    "cut off": (damaged, "is truncated"),
    "a model": (write_tiny_model, "is a model, not a LoRA adapter"),
    "of another architecture": (
        lambda path: write_tiny_lora(path, architecture="qwen2"),
        "is an adapter for qwen2 models, and tiny.gguf is one of llama",
    ),
    "of another kind": (
        lambda path: write_tiny_lora(path, kind="control"),
        "is an adapter of the kind control, no LoRA",
    ),
    "switched on by words": (
        lambda path: write_tiny_lora(path, invoked_by=[1, 2]),
        "is switched on by words in the prompt",
    ),
    "of another size": (
        lambda path: write_tiny_lora(path, dim=32),
        "unfit.gguf cannot be loaded: tensor 'blk.0.ffn_up.weight' has incorrect shape",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_an_adapter_that_does_not_fit_is_one_line_and_the_model_in_use_stays(
    what: str, tiny_gguf: Path, tmp_path: Path, fresh_llm: None
) -> None:
    llm.use(tiny_gguf, n_threads=1)
    make, says = UNFIT[what]
    path = make(tmp_path / "unfit.gguf")
    with pytest.raises(JupyterLLMError) as caught:
        llm.use(tiny_gguf, n_threads=1, lora=path)
    assert isinstance(caught.value, ModelFileError | ModelLoadError)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert llm("Still there?", max_tokens=2).provenance is not None


def test_an_adapter_that_ends_processes_is_an_error_in_ours(
    tiny_gguf: Path, lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_run", lambda *_arguments: -6)  # it died of an assertion
    with pytest.raises(ModelLoadError, match=r"^style\.gguf cannot be loaded: .*ends the process"):
        try_file(tiny_gguf, lora=lora)


@pytest.mark.parametrize(
    ("typed", "name", "scale"),
    [
        ("a.gguf", "a.gguf", 1.0),
        ("a.gguf:0.5", "a.gguf", 0.5),
        ("a.gguf:-1", "a.gguf", -1.0),
        ("a:b.gguf", "a:b.gguf", 1.0),
        ("there.gguf:2", "there.gguf:2", 1.0),
    ],
)
def test_an_adapter_is_named_by_its_path_and_a_scale(
    typed: str, name: str, scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.gguf:2").touch()
    monkeypatch.chdir(tmp_path)
    assert Lora.of(typed) == Lora(tmp_path / name, scale)
    assert Lora.of(str(Lora.of(typed))) == Lora.of(typed)


@pytest.mark.parametrize("typed", ["", "a.gguf:0", "a.gguf:nan", "a.gguf:1e9", 3, True])
def test_what_names_no_adapter_is_one_line(typed: object) -> None:
    with pytest.raises(JupyterLLMError, match="lora must be"):
        EngineOptions(lora=typed)  # type: ignore[arg-type]


def test_a_command_loads_one_and_says_so(tiny_gguf: Path, lora: Path, fresh_llm: None) -> None:
    call = Call(llm=llm, chat=llm.chat(), argument=f"{tiny_gguf} lora={lora}:0.5 n_threads=1")
    assert "**tiny** with style.gguf at 0.5 (" in str(COMMANDS["use"].run(call))
    assert "| adapter | style.gguf at 0.5 |" in llm.status().to_markdown()


def test_a_name_may_stand_for_a_model_with_an_adapter(
    tiny_gguf: Path, lora: Path, fresh_llm: None
) -> None:
    llm.alias("poet", tiny_gguf, lora=os.path.relpath(lora), n_threads=1)
    info = llm.engine("poet").info
    assert info.adapter is not None
    assert info.adapter.path == lora
