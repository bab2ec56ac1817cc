"""A model on the workers of a real cluster: two processes of this machine, that may die."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client
from support.clusters import (
    RowLog,
    answered,
    break_models,
    computed,
    find_answers,
    hide_package,
    kill_one,
    lose_answers,
    pass_for_forgotten,
    plugins_of,
    registered,
    replace_by,
    scratch_of,
    show_package,
    started,
    unload,
)
from support.engines import load
from support.interrupts import interrupt_main
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.common.bars import Step
from jupyter_llm.engine.attention import AttentionTimes, ReadingTimes, keep_times
from jupyter_llm.engine.cluster import engine as cluster_engine
from jupyter_llm.engine.cluster import worker
from jupyter_llm.engine.cluster.engine import ClusterEngine
from jupyter_llm.engine.cluster.worker import ModelPlugin
from jupyter_llm.engine.completion import BatchError, PromptInterrupted
from jupyter_llm.engine.options import EngineOptions, SamplingParams
from jupyter_llm.engine.request import Message, Request
from jupyter_llm.errors import (
    ContextOverflowError,
    EngineClosedError,
    EngineError,
    MissingLibraryError,
    ModelFileError,
    NotAllowedError,
    NotEnoughMemoryError,
    OptionError,
)
from jupyter_llm.models.discover import find_model
from jupyter_llm.models.fingerprint import file_sha256
from jupyter_llm.models.inspect import inspect
from jupyter_llm.models.machine import available_cores, this_machine

OPTIONS = EngineOptions(n_ctx=512, flash_attention=True)
TEMPLATE = "Turn this: {{item}}"
SHORT: dict[str, Any] = {"temperature": 0, "max_tokens": 3}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "rows"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[Client]:
    """Two workers that are processes of their own, for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("workers")))
        with started(tmp_path_factory.mktemp("scratch"), n_workers=2, processes=True) as client:
            client.register_plugin(RowLog(log), "row log")
            yield client
            llm.unload()


@pytest.fixture
def client(shared: Client, log: Path) -> Client:
    """The workers, which have done nothing yet; models stay from one test to the next."""
    log.write_text("")
    answered(log).write_text("")
    return shared


@contextmanager
def opened(client: Client, path: Path, **options: Any) -> Iterator[ClusterEngine]:
    engine = ClusterEngine(client, find_model(path), replace(OPTIONS, **options))
    try:
        yield engine
    finally:
        engine.close()


def asked(text: str, **sampling: Any) -> Request:
    params = SamplingParams(temperature=0, ignore_eos=True, **sampling)
    return Request(prompt=(Message("user", text),), params=params)


def look(engine: ClusterEngine) -> None:
    """Let it look at its workers at once, as where something is cancelled."""
    engine._client.loop.add_callback(engine._hurry_up)


def is_ready(engine: ClusterEngine, count: int) -> bool:
    return len(ready(engine)) == count


def ready(engine: ClusterEngine) -> list[str]:
    """The workers that answer."""
    return [address for address, place in list(engine._places.items()) if place.info]


def test_a_map_gives_what_one_model_gives_in_order_on_all_workers(
    client: Client, tiny_gguf: Path, log: Path
) -> None:
    rows = [f"row {n}" for n in range(80)]
    steps: list[Step] = []
    ask = partial(llm.map, rows, TEMPLATE, model=str(tiny_gguf), seed=1, max_tokens=3)
    told = ask(client=client, show_progress=steps.append)
    assert {step.text.partition(":")[0] for step in steps} >= {"Loading tiny on 2 workers"}
    assert set(computed(log).values()) == {1}
    assert len(computed(log)) == 80
    assert llm.current.loaded == ()  # nothing here
    assert ask(client=client) == told  # as kept
    assert len(computed(log)) == 80
    assert ask(keep=False) == told  # by a model of this process
    llm.unload()


@pytest.mark.parametrize("how", [{"exact": True}, {"seed": 1}], ids=["exact", "seed"])
def test_promised_labels_are_the_same_to_the_last_bit_on_workers_and_here(
    client: Client, tiny_gguf: Path, how: dict[str, Any]
) -> None:
    rows = [f"row {number}" for number in range(40)]
    more = {"choices": ["good", "bad"], "confidence": True, "keep": False, **how}
    ask = partial(llm.map, rows, TEMPLATE, model=str(tiny_gguf), **more)
    assert ask(client=client) == ask()
    llm.unload()


@pytest.mark.parametrize("told", [None, True])
def test_workers_use_the_attention_that_was_measured_here_unless_told(
    client: Client, tiny_gguf: Path, *, told: bool | None
) -> None:
    fast, slow = (ReadingTimes(follow_up_s=one, prompt_s=one) for one in (1.0, 2.0))
    keep_times(
        inspect(tiny_gguf).shape,
        this_machine(available_cores()),
        AttentionTimes(flash=slow, plain=fast),
    )
    with opened(client, tiny_gguf, flash_attention=told) as engine:
        assert engine.info.flash_attention is (told or False)


def test_what_is_known_of_a_model_comes_from_a_worker(client: Client, tiny_gguf: Path) -> None:
    local = load(tiny_gguf, n_ctx=512, flash_attention=True)
    with opened(client, tiny_gguf) as engine:
        prompt = (Message("user", "Hello"),)
        assert engine.info.path == tiny_gguf
        assert engine.info.num_at_once >= 256
        assert engine.count_tokens(prompt) == local.count_tokens(prompt)
        assert engine.tokenize_texts(["a", ""]) == local.tokenize_texts(["a", ""])
        texts = [f"text {n}" for n in range(150)]
        assert np.allclose(engine.embed(texts), local.embed(texts), atol=1e-4)
        assert engine.embed([]).shape == local.embed([]).shape


def test_a_row_that_fails_is_its_own_error(client: Client, tiny_gguf: Path) -> None:
    with pytest.raises(BatchError) as caught:
        llm.map(["a", "b " * 9000, "c"], TEMPLATE, model=str(tiny_gguf), client=client, **SHORT)
    (number, error), *others = caught.value.errors.items()
    assert not others
    assert number == 1
    assert isinstance(error, ContextOverflowError)
    assert error.num_tokens > error.n_ctx  # as it was there


def test_other_calls_of_columns_go_to_the_workers_too(client: Client, tiny_gguf: Path) -> None:
    texts = [f"text {n}" for n in range(12)]
    more: Any = {"model": str(tiny_gguf), "client": client}
    assert len(llm.filter(texts, "it is long", threshold=0, **more)) == 12
    assert len(llm.top_k(texts, "long", 2, **more)) == 2
    assert len(llm.join(texts, texts, "same", candidates=2, threshold=0, **more)) == 24
    assert llm.reduce(texts, "Sum up", temperature=0, max_tokens=2, **more)
    assert llm.current.loaded == ()


def test_an_interrupt_stops_all_workers_and_the_same_call_goes_on(
    client: Client, tiny_gguf: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"row {n}" for n in range(400)]
    ask = partial(llm.map, rows, TEMPLATE, model=str(tiny_gguf), client=client)
    ask = partial(ask, temperature=0, max_tokens=40, ignore_eos=True)

    workers = client.run(os.getpid)
    come: list[None] = []
    settle = ClusterEngine._settle
    monkeypatch.setattr(ClusterEngine, "_settle", lambda *asked: come.append(settle(*asked)))

    def interrupt() -> None:
        until(lambda: len(come) > 20)  # rows, though not all
        for pid in workers.values():  # that of a notebook reaches all processes it has started
            os.kill(pid, signal.SIGINT)
        interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(PromptInterrupted) as caught:
        ask()
    thread.join()
    assert client.run(os.getpid) == workers
    engine = llm.current.on_cluster(client, str(tiny_gguf))
    until(lambda: not engine._sent)  # nothing runs on
    num_before = len(computed(log))
    assert num_before < 400
    told: Any = caught.value.best
    done = [row for row, value in zip(rows, told, strict=True) if value is not None]
    assert done
    again = ask()
    twice = {row for row, number in computed(log).items() if number > 1}
    assert not twice & {TEMPLATE.replace("{{item}}", row) for row in done}
    assert [one for one in again if one is None] == []
    for row, first, second in zip(rows, told, again, strict=True):
        assert first in (None, second), row


def test_one_request_is_cancelled_alone(client: Client, tiny_gguf: Path) -> None:
    with opened(client, tiny_gguf, n_ctx=8192) as engine:
        long = engine.submit(asked("a", max_tokens=None))
        until(lambda: bool(engine._sent))
        long.cancel()
        short = engine.submit(asked("b", max_tokens=2))
        assert short.result(60).finish_reason == "length"
        assert long.result(60).finish_reason == "cancelled"
        held = [engine.submit(asked(str(n), max_tokens=None)) for n in range(200)]
        for stream in held:
            stream.cancel()
        assert {stream.result(60).finish_reason for stream in held} == {"cancelled"}
        until(lambda: not engine._sent and not engine._waiting)


def test_a_worker_that_dies_loses_nothing_but_its_running_rows(
    client: Client, tiny_gguf: Path, log: Path
) -> None:
    survive(client, tiny_gguf, log, num_rows=300, kills=[100])


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_2_000_rows_survive_two_dead_workers(client: Client, tiny_gguf: Path, log: Path) -> None:
    survive(client, tiny_gguf, log, num_rows=2000, kills=[500, 1200])


def survive(client: Client, model: Path, log: Path, *, num_rows: int, kills: list[int]) -> None:
    rows = [f"row {n}" for n in range(num_rows)]
    left = list(kills)

    def look(_step: Step) -> None:
        if left and len(computed(log)) > left[0]:
            left.pop(0)
            kill_one(client)

    told = llm.map(rows, TEMPLATE, model=str(model), client=client, show_progress=look, **SHORT)
    assert not left
    assert len(told) == num_rows
    assert None not in told
    counts = computed(answered(log))
    assert len(counts) == num_rows
    running = 4 * cluster_engine._GROUP  # of which something may be done and not brought back
    twice = sum(number - 1 for number in counts.values())
    print(f"computed twice: {twice} of {num_rows} rows, {len(kills)} workers killed")
    assert twice <= len(kills) * running
    until(lambda: len(client.scheduler_info()["workers"]) == 2)


def holders(client: Client, engine: ClusterEngine) -> int:
    """How many workers hold the model."""
    return sum(engine._name in names for names in client.run(plugins_of).values())


def test_a_model_stays_on_the_workers_while_somebody_needs_it(
    client: Client, tiny_gguf: Path
) -> None:
    with opened(client, tiny_gguf) as engine, opened(client, tiny_gguf) as other:
        until(lambda: is_ready(engine, 2) and is_ready(other, 2))
        other.close()
        assert holders(client, engine) == 2
        client.run(unload, engine._name)
        assert engine.submit(asked("a", max_tokens=2)).result(60).finish_reason == "length"
        engine.close()
        assert holders(client, engine) == 0
        with pytest.raises(EngineClosedError):
            engine.submit(asked("a"))


KERNEL = """
import logging
import sys
from pathlib import Path
from distributed import Client
from jupyter_llm.engine.cluster.engine import ClusterEngine
from jupyter_llm.engine.options import EngineOptions
from jupyter_llm.models.discover import find_model
client = Client(sys.argv[1] or None, **({} if sys.argv[1] else {"processes": False}))
logging.basicConfig(level="ERROR", force=True)
for name in ("distributed", "distributed.worker"):
    logging.getLogger(name).setLevel("ERROR")
    logging.getLogger(name).propagate = True
engine = ClusterEngine(client, find_model(Path(sys.argv[2])), EngineOptions(n_ctx=768))
print(engine._name, *client.run(lambda dask_worker: list(dask_worker.plugins)).values())
"""


def test_a_kernel_that_ends_leaves_no_model_behind(client: Client, tiny_gguf: Path) -> None:
    """Neither on the workers nor with the scheduler, which would give it to all that come."""
    assert client.cluster is not None
    for address in (client.cluster.scheduler_address, ""):  # the latter is one in the kernel itself
        call = [sys.executable, "-c", KERNEL, address, str(tiny_gguf)]
        done = subprocess.run(call, check=True, capture_output=True, text=True)
        name, _, told = done.stdout.partition(" [")
        assert name in told
        assert "Traceback" not in done.stderr
    assert not [one for names in client.run(plugins_of).values() for one in names if one == name]
    with opened(client, tiny_gguf) as engine:  # and one that was killed
        until(lambda: is_ready(engine, 2))
        assert engine._name not in client.run_on_scheduler(registered)
        # A look may be on its way still.
        until(lambda: client.run(pass_for_forgotten) and holders(client, engine) == 0)


def test_a_worker_that_cannot_have_the_model_is_named_and_the_others_go_on(
    client: Client, tiny_gguf: Path, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    llm.unload()  # or it may be said of that model, too
    bad, good = client.scheduler_info()["workers"]
    with opened(client, tiny_gguf, n_ctx=8192) as engine:
        until(lambda: is_ready(engine, 2))
        try:
            client.run(hide_package, workers=[bad])
            look(engine)
            until(lambda: is_ready(engine, 1))
            streams = [engine.submit(asked(str(n), max_tokens=2)) for n in range(40)]
            assert {stream.result(60).finish_reason for stream in streams} == {"length"}
            stream = engine.submit(asked("a", max_tokens=None))
            until(lambda: computed(log)["a"])
            client.run(hide_package, workers=[good])
            look(engine)
            with pytest.raises(OptionError, match="no jupyter_llm"):
                stream.result(60)
            assert engine.is_closed
        finally:
            client.run(show_package)
            client.run(pass_for_forgotten)  # which could not be told that the model may go
    (said,) = [text for text in caplog.messages if "is not used" in text]
    assert bad in said
    assert "Install jupyter-llm==" in said


def test_all_workers_have_the_same_window(client: Client, tiny_gguf: Path) -> None:
    """Or a row would fail by where it comes to."""
    with opened(client, tiny_gguf, n_ctx=1024) as engine:
        until(lambda: is_ready(engine, 2))
        small = ModelPlugin(find_model(tiny_gguf), OPTIONS, lambda _: True)
        (at, *_) = client.scheduler_info()["workers"]
        client.run(replace_by, engine._name, small, workers=[at])
        look(engine)
        until(lambda: is_ready(engine, 1))
        assert at not in ready(engine)
        client.run(unload, engine._name, workers=[at])
        look(engine)
        until(lambda: is_ready(engine, 2))


def test_a_model_that_has_failed_on_a_worker_is_loaded_there_again(
    client: Client, tiny_gguf: Path
) -> None:
    with opened(client, tiny_gguf) as engine:
        until(lambda: is_ready(engine, 2))
        client.run(break_models)
        streams = [engine.submit(asked(str(n), max_tokens=2)) for n in range(40)]
        assert {stream.result(60).finish_reason for stream in streams} == {"length"}
        until(lambda: is_ready(engine, 2))


def test_a_worker_that_cannot_be_asked_for_a_while_goes_on_with_its_rows(
    client: Client, tiny_gguf: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = []

    async def run(address: str, *_asked: object) -> OSError:
        asks.append(address)
        return OSError()

    with opened(client, tiny_gguf) as engine:
        until(lambda: is_ready(engine, 2))
        with monkeypatch.context() as patch:
            patch.setattr(engine, "_run", run)
            streams = [engine.submit(asked(str(n), max_tokens=20)) for n in range(80)]
            look(engine)
            assert {stream.result(60).finish_reason for stream in streams} == {"length"}
    assert asks
    assert set(computed(log).values()) == {1}


def test_who_gives_a_result_up_leaves_those_of_others(client: Client) -> None:
    """All results come to a client by one coroutine of its own."""
    dask: Any = client

    async def one_of_two() -> tuple[bytes, bytes]:
        tasks = [dask.submit(bytes, number, pure=False) for number in (7, 8)]
        for one in tasks:
            await one._state.wait()
        given_up, wanted = [asyncio.create_task(cluster_engine._result(one)) for one in tasks]
        while dask._gather_future is None:  # noqa: ASYNC110  what both wait for
            await asyncio.sleep(0)
        given_up.cancel()
        return await asyncio.wait_for(wanted, 30), await dask.submit(bytes, 9, pure=False)

    found = asyncio.run_coroutine_threadsafe(one_of_two(), dask.loop.asyncio_loop)
    assert found.result(60) == (bytes(8), bytes(9))


def test_a_result_that_nobody_waits_for_any_more_leaves_no_error_behind(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a worker has died, and others answer what it had."""
    dask: Any = client

    async def give_up() -> None:
        task = dask.submit(bytes, 7, workers=["127.0.0.1:1"], pure=False)  # which never begins
        waiting = asyncio.create_task(cluster_engine._result(task))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await task._state.wait()
        for _ in range(9):  # steps of the task that waited
            await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(give_up(), dask.loop.asyncio_loop).result(60)
    gc.collect()  # when asyncio tells of errors that nobody has taken
    assert not [text for text in caplog.messages if "never retrieved" in text]


CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    options = {"processes": False, "protocol": "tcp://", "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, **options) as one:
        print(one.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.mark.slow
def test_a_scheduler_that_is_killed_is_told_of_long_before_its_client_gives_up(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    with dask.config.set({"distributed.comm.timeouts.connect": "300s"}):
        options: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": tmp_path}
        call = subprocess.Popen([sys.executable, "-c", CLUSTER], text=True, **options)
        assert call.stdout is not None
        with call as process, Client(next(call.stdout).strip()) as client:
            engine = ClusterEngine(client, find_model(tiny_gguf), OPTIONS)
            stream = engine.submit(asked("a", max_tokens=None))
            until(lambda: bool(engine._sent))
            process.kill()
            with pytest.raises(EngineClosedError, match="cluster cannot be reached any more"):
                stream.result(60)


def test_what_every_worker_dies_of_is_given_up(client: Client, tiny_gguf: Path) -> None:
    with opened(client, tiny_gguf) as engine:
        client.run(lose_answers)
        try:
            with pytest.raises(EngineError, match="4 workers that were to answer this"):
                engine.submit(asked("a")).result(60)
        finally:
            client.run(find_answers)
        assert engine.submit(asked("a", max_tokens=2)).result(60).finish_reason == "length"


def test_a_file_that_is_not_there_is_sent_once_to_a_machine_and_checked(
    client: Client, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_gguf.parent)  # the workers are elsewhere
    monkeypatch.setattr(cluster_engine, "PIECE", tiny_gguf.stat().st_size // 3 + 1)
    entry = replace(find_model(tiny_gguf), path=Path(tiny_gguf.name))
    (store,) = set(client.run(scratch_of).values())
    sent = Path(store) / "jupyter_llm" / file_sha256(tiny_gguf) / tiny_gguf.name
    sent.parent.mkdir(parents=True)
    sent.write_bytes(bytes(tiny_gguf.stat().st_size))  # not what was sent
    with monkeypatch.context() as patch:
        patch.setattr(cluster_engine, "open_regular", lambda _path: BytesIO(bytes(99_999_999)))
        with pytest.raises(ModelFileError, match="damaged, twice"):
            ClusterEngine(client, entry, OPTIONS)
    sent.write_bytes(bytes(tiny_gguf.stat().st_size))
    steps: list[Step] = []
    engine = ClusterEngine(client, entry, OPTIONS, show=steps.append)
    assert sent.read_bytes() == tiny_gguf.read_bytes()
    assert "Sending tiny to 2 workers" in {step.text.partition(":")[0] for step in steps}
    until(lambda: is_ready(engine, 2))
    sent.unlink()
    kill_one(client)  # the one in its place has to be sent it
    streams = [engine.submit(asked(str(n), max_tokens=2)) for n in range(100)]
    assert {stream.result(60).finish_reason for stream in streams} == {"length"}
    until(lambda: is_ready(engine, 2))
    engine.close()


def test_a_worker_without_the_memory_says_so_before_anything_is_loaded(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    with started(tmp_path, n_workers=1, processes=False, memory_limit="64MB") as client:
        with pytest.raises(NotEnoughMemoryError, match=r"memory_limit of 64\.0 MB, of which 0 B"):
            ClusterEngine(client, find_model(tiny_gguf), OPTIONS)
        assert not [
            one for names in client.run(plugins_of).values() for one in names if "tiny" in one
        ]


def test_what_is_no_good_client_is_refused(
    client: Client, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = partial(llm.map, ["a"], TEMPLATE, model=str(tiny_gguf))
    with pytest.raises(OptionError, match=r"a Client of dask\.distributed, not a str"):
        ask(client="tcp://…")
    assert client.cluster is not None
    gone = Client(client.cluster.scheduler_address)
    gone.close()
    with pytest.raises(OptionError, match="The client is closed"):
        ask(client=gone)


@pytest.mark.parametrize("is_early", [False, True])
def test_an_engine_that_no_worker_can_serve_says_why_also_before_anything_is_asked(
    client: Client, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, *, is_early: bool
) -> None:
    def wait_for_the_end(close: Any) -> None:
        until(lambda: close.__self__.is_closed)

    monkeypatch.setattr(cluster_engine, "__version__", "0.0")
    if is_early:  # called once the workers are asked, and before the first call is queued
        late = SimpleNamespace(register=wait_for_the_end, unregister=lambda _close: None)
        monkeypatch.setattr(cluster_engine, "atexit", late)
    with (
        pytest.raises(OptionError, match=r"Install jupyter-llm==0\.0 where"),
        opened(client, tiny_gguf, n_ctx=256),
    ):
        pass


def test_rows_go_to_a_cluster_elsewhere_only_where_that_is_allowed_and_told(
    client: Client, tiny_gguf: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = partial(llm.map, ["a"], TEMPLATE, model=str(tiny_gguf), client=client, keep=False)
    llm.current.allows_remote = False
    assert ask(**SHORT)  # on this machine
    llm.unload()
    monkeypatch.setattr(worker, "get_address_host", lambda _address: "10.1.2.3")
    log.write_text("")
    answered(log).write_text("")
    with pytest.raises(NotAllowedError, match=r"Nothing is sent to 10\.1\.2\.3"):
        ask(**SHORT)
    assert not computed(log)
    llm.current.allows_remote = True
    steps: list[Step] = []
    ask(show_progress=steps.append, **SHORT)
    assert "sent to 10.1.2.3" in steps[-1].text
    with opened(client, tiny_gguf, n_ctx=256) as engine:
        monkeypatch.setattr(llm.current.clusters, "engines", {"": engine})
        llm.current.allows_remote = False
        assert engine.is_closed
    llm.current.allows_remote = True


def test_without_dask_it_is_said_what_to_install(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)  # as where it is not there
    for name in ("engine", "worker"):
        monkeypatch.delitem(sys.modules, f"jupyter_llm.engine.cluster.{name}")
    with pytest.raises(MissingLibraryError, match=r"needs distributed.*jupyter-llm\[cluster\]"):
        llm.map(["a"], TEMPLATE, model=str(tiny_gguf), client=object())


def test_a_cluster_that_goes_ends_the_map_and_keeps_what_is_done(
    tiny_gguf: Path, tmp_path: Path
) -> None:
    rows = [f"row {n}" for n in range(400)]
    ask = partial(llm.map, rows, TEMPLATE, model=str(tiny_gguf), **SHORT)
    with started(tmp_path, n_workers=1, processes=False) as client:

        def look(step: Step) -> None:
            if " of 400 rows" in step.text and not step.text.startswith("0 "):
                client.close()

        with suppress(RuntimeError), pytest.raises(EngineClosedError):
            ask(client=client, show_progress=look)
    with started(tmp_path, n_workers=1, processes=False) as client:
        assert len(ask(client=client)) == 400
    llm.unload()
