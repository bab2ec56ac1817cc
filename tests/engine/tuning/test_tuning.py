"""Tuning from end to end: what measures, what is kept of it, and what is loaded then."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.interrupts import interrupt_main
from support.shell import run

from jupyter_llm import llm
from jupyter_llm.engine.local.llama import quantize
from jupyter_llm.engine.tuning.figures import Figure, Tuning, load_tuning, tuned_folder
from jupyter_llm.engine.tuning.report import TuneReport
from jupyter_llm.engine.tuning.tuning import BENCH, current_machine, tune, tuned
from jupyter_llm.errors import EngineError, MagicUsageError, ModelFileError, TuneInterrupted
from jupyter_llm.models.discover import ModelEntry, find_model


@pytest.fixture
def entry(tiny_gguf: Path) -> ModelEntry:
    return find_model(tiny_gguf)


@pytest.fixture
def no_process_stays() -> Iterator[None]:
    """Fail if a process is left; other tests may have left helpers of multiprocessing's."""
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


def scripted_process(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


READ_LESS = """
from jupyter_llm.engine.tuning import bench, search
search._PREFILL_TOKENS = (64, 256)
bench.main()
"""


def outcome(quantization: str | None = "Q8_0", **settings: int | bool) -> str:
    """Return a program that finds these the best, and writes a copy that is the file itself."""
    before: dict[str, object] = {
        "quantization": None,
        "settings": {},
        "prefill": 100.0,
        "decode": 10.0,
        "perplexity": 20.0,
    }
    after = before | {"quantization": quantization, "settings": settings, "prefill": 200.0}
    found = {"before": before, "after": after, "offer": None, "figures": [before, after]}
    return f"""
import json, pathlib, shutil, sys
plan = json.loads(sys.argv[1])
shutil.copy(plan["path"], pathlib.Path(plan["scratch"], "Q8_0.gguf"))
print(json.dumps({{"outcome": json.loads({json.dumps(json.dumps(found))})}}))
"""


@pytest.fixture
def resident(tiny_gguf: Path, fresh_llm: None) -> Path:
    llm.use(tiny_gguf)
    llm.unload()
    return tiny_gguf


def tune_by(entry: ModelEntry, code: str, *, copy: bool = True, lossy: bool = False) -> TuneReport:
    return tune(entry, copy=copy, lossy=lossy, bench=scripted_process(code))


def test_the_tuned_copy_and_settings_are_used_from_then_on(
    entry: ModelEntry, resident: Path
) -> None:
    report = tune_by(entry, outcome(n_threads=1, flash_attention=False))
    info = llm.use(resident).info
    assert info is not None
    assert (info.n_threads, info.flash_attention) == (1, False)
    assert info.tuned_copy == report.tuning.copy
    assert (info.name, info.path) == ("tiny", resident)
    assert "tuned copy in use" in str(llm.status())
    assert llm("Hello", max_tokens=3).model == "tiny"


def test_what_the_user_says_goes_before_what_was_measured(
    entry: ModelEntry, resident: Path
) -> None:
    tune_by(entry, outcome(None, n_threads=1, flash_attention=False))
    info = llm.use(resident, flash_attention=True).info
    assert info is not None
    assert (info.n_threads, info.flash_attention) == (1, True)


def test_forgetting_brings_the_file_itself_back(entry: ModelEntry, resident: Path) -> None:
    tune_by(entry, outcome())
    assert llm.use(resident).info.tuned_copy is not None  # type: ignore[union-attr]
    assert llm.forget_tuning()
    assert not llm.forget_tuning()
    llm("Hello", max_tokens=1)
    assert llm.status().info.tuned_copy is None  # type: ignore[union-attr]
    assert list(tuned_folder().iterdir()) == []


def test_tuning_again_keeps_a_copy_that_is_in_use(entry: ModelEntry) -> None:
    tune_by(entry, outcome())
    wants_copy = "import json, sys; assert json.loads(sys.argv[1])['keeps_copy']"
    assert tune_by(entry, wants_copy + outcome(), copy=False).tuning.copy is not None


def test_a_copy_that_no_longer_wins_goes(entry: ModelEntry) -> None:
    tune_by(entry, outcome())
    tune_by(entry, outcome(None))
    assert not list(tuned_folder().glob("*.gguf"))
    assert tuned(entry) == (entry, {})


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os.abort()", "broke off with exit code -6"),
        ("raise SystemExit('out of memory')", "broke off with exit code 1: out of memory"),
        ('print(\'{"error": "no way"}\')', "could not be measured: no way"),
        ("print('nonsense')", "broke off"),
        ("pass", "broke off with exit code 0"),
    ],
    ids=["crash", "message", "error", "nonsense", "nothing"],
)
def test_a_process_that_fails_leaves_all_as_it_was(entry: ModelEntry, code: str, says: str) -> None:
    kept = tune_by(entry, outcome()).tuning
    with pytest.raises(EngineError, match=says) as caught:
        tune_by(entry, code)
    assert "\n" not in str(caught.value)
    assert load_tuning(entry.path, current_machine()) == kept
    assert not list(tuned_folder().glob("*-part-*"))


@pytest.mark.usefixtures("no_process_stays")
def test_an_interrupt_ends_the_process_and_leaves_all_as_it_was(entry: ModelEntry) -> None:
    def interrupt(_share: float, text: str) -> None:
        if text == "as it is":
            threading.Thread(target=interrupt_main).start()

    waits = 'print(\'{"share": 0.1, "text": "as it is"}\', flush=True); input()'
    kept = tune_by(entry, outcome()).tuning
    with pytest.raises(TuneInterrupted, match="as they were"):
        tune(entry, copy=True, lossy=False, on_progress=interrupt, bench=scripted_process(waits))
    assert load_tuning(entry.path, current_machine()) == kept
    assert not list(tuned_folder().glob("*-part-*"))


def test_a_damaged_file_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        tune(find_model(tmp_path / "bad.gguf"), copy=False, lossy=False)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("no_process_stays")
def test_a_model_gets_a_copy_that_is_measured_as_good_and_remembered(
    smollm2: Path, tiny_gguf: Path, pytestconfig: pytest.Config
) -> None:
    heard: list[float] = []
    # Weights drawn at random, as the tiny model's, lose more.
    model, loss = (smollm2, 0.01) if pytestconfig.option.soak else (tiny_gguf, 0.05)
    bench = BENCH if pytestconfig.option.soak else scripted_process(READ_LESS)
    entry = find_model(model)
    report = tune(
        entry,
        copy=True,
        lossy=False,
        on_progress=lambda share, _: heard.append(share),
        bench=bench,
    )
    assert heard[-1] == 1.0
    assert load_tuning(entry.path, current_machine()) == report.tuning
    assert not list(tuned_folder().glob("*-part-*"))
    assert "as it is" in {figure.label for figure in report.tuning.figures}
    copy = next(f for f in report.tuning.figures if f.label == "Q8_0 copy")
    assert copy.prefill > 0  # faster or not, as this processor's kernels are
    assert copy.decode > 0
    assert copy.perplexity == pytest.approx(report.before.perplexity, rel=loss)


# -- what is shown -------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_shows_a_table_with_bars(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = {**(tune.__kwdefaults__ or {}), "bench": scripted_process(READ_LESS)}
    monkeypatch.setattr(tune, "__kwdefaults__", defaults)
    (shown,) = run(shell, "%llm /tune").displays[-1:]
    assert "<meter" in shown["text/html"]
    assert "| as it is |" in shown["text/markdown"]
    assert "Measured tiny" in shown["text/plain"]
    assert "Forgot the tuning" in run(shell, "%llm /tune --forget").text
    assert "no tuning" in run(shell, "%llm /tune tiny --forget").text


def test_an_unknown_flag_of_the_command_is_one_clear_line(shell: InteractiveShell) -> None:
    cell = run(shell, "%llm /tune --copi", raises=MagicUsageError)
    assert str(cell.error) == "/tune does not know --copi. Did you mean --copy?"


def report(entry: ModelEntry, offer: Figure | None = None, asked: str = "") -> TuneReport:
    before = Figure(quantization=None, settings={}, prefill=100.0, decode=10.0, perplexity=20.0)
    figures = (before, *((offer,) if offer else ()))
    tuning = Tuning(sha256="0", size_bytes=1, machine=current_machine(), figures=figures)
    return TuneReport(
        model=entry.name,
        quantization="F32",
        tuning=tuning,
        before=before,
        after=before,
        offer=offer,
        asked=asked,
    )


def test_an_offer_says_what_is_gained_and_lost_and_what_to_type(entry: ModelEntry) -> None:
    copy = Figure(quantization="Q8_0", settings={}, prefill=180.0, decode=11.0, perplexity=20.1)
    assert "<code>%llm /tune --copy</code>" in report(entry, copy)._repr_html_()
    text = str(report(entry, copy))
    assert "1.80 times the speed (100 → 180 tokens/s)" in text
    assert "from 20.00 to 20.10 (+0.5 %)" in text
    assert "Type `%llm /tune --copy`" in text
    assert "`%llm /tune my-model --copy`" in str(report(entry, copy, asked="my-model"))
    lossy = replace(copy, quantization="Q4_0")
    assert "`%llm /tune --copy --lossy`" in str(report(entry, lossy))


def test_a_copy_that_is_not_worth_it_is_told_with_its_figures(entry: ModelEntry) -> None:
    copy = Figure(quantization="Q8_0", settings={}, prefill=101.0, decode=10.0, perplexity=20.0)
    found = report(entry, copy)
    text = str(replace(found, offer=None))
    assert "A Q8_0 copy is not worth it here: it would read prompts at 1.01 times" in text
    assert "The default settings are the best here" in text


def test_a_report_shows_no_markup_of_a_model_s_name(entry: ModelEntry) -> None:
    found = replace(report(entry), model="<img src=x onerror=alert(1)>")
    assert "<img" not in found._repr_html_()
    assert "<img" not in found._repr_markdown_()


def test_the_fastest_has_the_longest_bars(entry: ModelEntry) -> None:
    copy = Figure(quantization="Q8_0", settings={}, prefill=50.0, decode=40.0, perplexity=20.0)
    shown = ET.fromstring(report(entry, copy)._repr_html_())  # noqa: S314  our own
    bars = [float(meter.attrib["value"]) for meter in shown.iter("meter")]
    assert bars == [1, 0.25, 0.5, 1]


@pytest.mark.parametrize("is_split", [True, False], ids=["split", "Q8_0"])
def test_no_copy_is_tried_where_it_could_not_help(
    tiny_gguf: Path,
    tmp_path: Path,
    is_split: bool,  # noqa: FBT001
) -> None:
    path = tmp_path / ("part-00001-of-00002.gguf" if is_split else "eight.gguf")
    if is_split:
        for part in (path, tmp_path / "part-00002-of-00002.gguf"):
            part.write_bytes(tiny_gguf.read_bytes())
    else:
        quantize(tiny_gguf, path, "Q8_0", n_threads=1)
    wants_none = "import json, sys; assert not json.loads(sys.argv[1])['quantizations']"
    shown = str(tune_by(find_model(path), wants_none + outcome(None)))
    assert ("in several files" if is_split else "is Q8_0 already") in shown
