"""What is seen of code that is tried, and that nothing else comes of it."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.seal import needs_seal
from support.shell import RecordingPublisher

from jupyter_llm.notebook.sealed import copy
from jupyter_llm.notebook.sealed.seen import Seen
from jupyter_llm.notebook.sealed.trying import try_code

pytestmark = [needs_seal, pytest.mark.slow]


def tried(*sources: str, **names: Any) -> Seen:
    """What is seen of cells with some variables, without a shell."""
    return try_code(sources, names, timeout_s=20)


def seen_in(shell: InteractiveShell, *sources: str) -> Seen:
    return try_code(sources, shell.user_ns, shell=shell, timeout_s=20)


def test_code_that_runs_shows_its_value_and_its_names() -> None:
    seen = tried("total = price * 2\nprint('so')\ntotal", price=21)
    assert (seen.outcome, seen.text) == ("runs", "ran in a sealed copy")
    assert (seen.result, seen.printed, seen.names) == ("42", "so\n", ("total",))


AWAIT = "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 5\nawait f()"
THREADS = """from concurrent.futures import ThreadPoolExecutor as Pool
with Pool(4) as pool: total = sum(pool.map(abs, range(-9, 0)))
total"""
LOOP = """import asyncio
from concurrent.futures import ThreadPoolExecutor as Pool
with Pool(1) as pool: five = pool.submit(asyncio.run, asyncio.sleep(0, 5)).result()
five"""
LIBRARY = "import socket\ntry: socket.socket()\nexcept OSError: pass"


@pytest.mark.parametrize(
    ("code", "text", "result"),
    [
        ("6 * 7;", "ran in a sealed copy", ""),
        ("x = 42", "ran in a sealed copy", ""),
        ("print('\\ud800')\n'\\udc00'", "ran in a sealed copy", "'\\udc00'"),
        (AWAIT, "ran in a sealed copy", "5"),
        (THREADS, "ran in a sealed copy", "45"),
        (LOOP, "ran in a sealed copy", "5"),
        ("%matplotlib inline\n%time x = 6 * 7\nx", "ran in a sealed copy", "42"),
        (f"exec({LIBRARY!r}, {{}})", "ran in a sealed copy", ""),
        ("x = 1\nnext(iter([]))", "raises StopIteration", ""),
        ("x = 1\n(", "raises SyntaxError: '(' was never closed", ""),
        ("%%bash\nls", "not tried: it has a magic (%%bash)", ""),
        ("%pip install x", "not tried: it has a magic (%pip)", ""),
        ("import ctypes\nctypes.string_at(0)", "not tried: the copy ended (SIGSEGV)", ""),
        ("bytes(1 << 50)", "not tried: it would take more memory than a try may", ""),
    ],
)
def test_what_is_seen_is_told_in_a_few_words(code: str, text: str, result: str) -> None:
    seen = tried(code)
    assert (seen.text, seen.result) == (text, result)


def test_no_name_is_bound_here() -> None:
    names: dict[str, Any] = {"items": [1]}
    seen = try_code(["items.append(2)\nextra = 3\ndel items"], names)
    assert seen.runs
    assert names == {"items": [1]}


def test_the_folder_for_temporary_files_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)  # Python finds it by writing into it
    assert tried("import tempfile\ntempfile.gettempdir()").runs


def test_what_is_raised_is_told_with_its_cell_and_line() -> None:
    seen = tried("x = 1", "y = 2\n\nsales['citi']", sales={"city": 1})
    assert (seen.outcome, seen.text) == ("raises", "raises KeyError: 'citi'")
    assert (seen.error_kind, seen.message, seen.index, seen.lineno) == ("KeyError", "'citi'", 1, 3)
    assert seen.was_tried


def test_the_report_names_what_is_near() -> None:
    report = tried("sales['citi']", sales={"city": 1}).report
    assert report.startswith("KeyError: 'citi'")
    assert "near it is 'city'" in report
    assert "sales['citi']" in report


def test_a_value_that_cannot_be_shown_is_no_slip_of_ours(shell: InteractiveShell) -> None:
    code = "class Odd:\n    def __repr__(self): return 1 / 0\nOdd()"
    assert (seen_in(shell, code).text, seen_in(shell, code).result) == ("ran in a sealed copy", "")


def test_what_takes_long_is_cut() -> None:
    seen = try_code(["while True: pass"], {}, timeout_s=0.3)
    assert (seen.outcome, seen.text) == ("running", "still running after 0.3 s")


def test_we_are_called_while_it_runs() -> None:
    calls: list[int] = []
    try_code(["while True: pass"], {}, timeout_s=0.5, tick=lambda: calls.append(1))
    assert calls


@pytest.mark.parametrize(
    ("code", "would"),
    [
        ("open('out.csv', 'w')", "write a file (out.csv)"),
        ("from pathlib import Path\nPath('out.csv').write_text('x')", "write a file (out.csv)"),
        ("open('a\\udcff', 'w')", "write a file (a?)"),
        ("import os\nos.mkdir('results')", "make a folder (results)"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 80))", "use the network"),
        ("import subprocess\nsubprocess.run(['git', 'log'])", "start a process (git)"),
        ("!pip install x", "start a process (pip)"),
        ("import os\nos.kill(os.getppid(), 9)", "send a signal"),
        ("input('Name? ')", "ask for input"),
        ("import os\nos._exit(0)", "end the kernel"),
        ("try:\n    open('out.csv', 'w')\nexcept OSError: pass", "write a file (out.csv)"),
    ],
)
def test_what_the_seal_refuses_is_named(code: str, would: str, tmp_path: Path) -> None:
    seen = tried(f"import os\nos.chdir({str(tmp_path)!r})", code)
    assert seen.outcome == "refused"
    assert seen.text.startswith(f"not tried: it would {would}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", ["file.write('x')\nfile.flush()", "with file: file.write('x')"])
def test_writing_to_a_file_that_is_open_is_refused(code: str, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("as it was")  # which waits to be written
        assert tried("file", file=file).runs
        seen = tried(code, file=file)
        text = "not tried: it would write to a file or pipe that is open"
        assert (seen.outcome, seen.text) == ("refused", text)
    assert path.read_text(encoding="utf-8") == "as it was"


@pytest.mark.parametrize("mode", ["r+", "r+b"])
def test_reading_a_file_that_is_open_to_write_too_goes_on_where_it_was(
    mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.csv"
    path.write_text("one\ntwo\nthree", encoding="utf-8")
    with path.open(mode) as file:
        file.readline()
        seen = tried(
            "file.readline()[:3], file.read()[:5], file.seek(0), file.read()[:3]", file=file
        )
        assert seen.result.replace("b'", "'") == "('two', 'three', 0, 'one')"


def test_an_event_loop_is_made_behind_the_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.txt"
    monkeypatch.setattr(asyncio, "new_event_loop", path.touch)
    assert tried(AWAIT).result == "5"
    assert not path.exists()


def test_a_name_that_is_looked_up_is_the_network() -> None:
    seen = tried("import urllib.request\nurllib.request.urlopen('http://example.invalid/')")
    assert seen.text.startswith("not tried: it would use the network")


@pytest.mark.parametrize(
    "code",
    [
        "import ctypes\nctypes.string_at(0)",
        "import os\nos._exit(0)",
        "import os\nos.kill(os.getpid(), 9)",
        "bytes(1 << 50)",
        "exit()",
    ],
)
def test_what_no_process_survives_is_deadly(shell: InteractiveShell, code: str) -> None:
    assert seen_in(shell, code).is_deadly


@pytest.mark.parametrize("code", ["1 / 0", "input()", "!ls", "open('out.csv', 'w')"])
def test_what_is_only_wrong_or_refused_is_not_deadly(shell: InteractiveShell, code: str) -> None:
    assert not seen_in(shell, code).is_deadly


def test_it_can_be_asked_about_the_variables() -> None:
    seen = try_code(["y = x + 1"], {"x": 1}, look=lambda names: {"y": names["y"]})
    assert seen.looked == {"y": 2}


def test_what_is_refused_while_it_is_asked_is_named() -> None:
    code = "def save():\n    try: open('out.csv', 'w')\n    except OSError: return False"
    seen = try_code([code], {}, look=lambda names: names["save"]())
    assert (seen.outcome, seen.looked) == ("refused", False)


@pytest.mark.parametrize(
    "write", ["open('out.csv', 'w')", "pathlib.Path('out.csv').write_text('')"]
)
def test_what_a_notebook_would_write_unnoticed_is_named(
    shell: InteractiveShell, write: str
) -> None:
    seen = seen_in(shell, f"import pathlib\ntry: {write}\nexcept OSError: pass")
    assert seen.text == "not tried: it would write a file (out.csv)"


def test_what_cannot_be_told_is_not() -> None:
    assert try_code(["y = 1"], {}, look=lambda _names: object()).looked is None


def test_nothing_is_tried_beside_the_main_thread() -> None:
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(try_code(["1"], {}).text))
    thread.start()
    thread.join()
    assert reasons == ["not tried: code is only tried in the kernel's main thread"]


def test_a_generator_and_a_file_stay_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\n", encoding="utf-8")
    numbers: Iterator[int] = iter(range(3))
    with path.open(encoding="utf-8") as file:
        seen = tried("next(numbers), file.readline()", numbers=numbers, file=file)
        assert seen.result == "(0, 'one\\n')"
        assert (next(numbers), file.readline()) == (0, "one\n")


def test_a_file_in_memory_is_read_and_not_written() -> None:
    number = os.memfd_create("shared")
    os.write(number, b"as it was")
    again = "import mmap, os\nagain = os.open(f'/proc/self/fd/{number}', os.O_RDWR)\n"
    tried(again + "mmap.mmap(again, 9)[0] = 120", number=number)
    assert tried("import os\nos.pread(number, 9, 0)", number=number).result == "b'as it was'"
    assert os.pread(number, 9, 0) == b"as it was"
    os.close(number)


def test_a_database_is_read_and_not_written(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "sales.db")
    connection.execute("create table sales (city)")
    connection.execute("insert into sales values ('Bern')")
    connection.commit()
    seen = tried("sales.execute('select * from sales').fetchall()", sales=connection)
    assert seen.result == "[('Bern',)]"
    seen = tried("sales.execute('delete from sales'); sales.commit()", sales=connection)
    assert seen.text == "not tried: it would write to a database"
    assert connection.execute("select count(*) from sales").fetchone() == (1,)
    connection.close()


def test_nothing_is_displayed(shell: InteractiveShell) -> None:
    publisher = shell.display_pub
    assert isinstance(publisher, RecordingPublisher)
    seen = seen_in(shell, "from IPython.display import display\ndisplay(1)\nprint(2)\n3")
    assert (seen.text, seen.result) == ("ran in a sealed copy", "3")
    assert publisher.displays == {}


def test_pictures_are_counted(shell: InteractiveShell) -> None:
    seen = seen_in(shell, "import matplotlib.pyplot as plt\nplt.plot([1, 2])")
    assert (seen.text, seen.num_figures) == ("ran in a sealed copy; draws 1 line", 1)


@pytest.mark.parametrize("leaving", ["exit()", "quit()", "try: exit()\nexcept Exception: pass"])
def test_leaving_the_kernel_is_refused(
    shell: InteractiveShell, leaving: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "ask_exit", lambda: None, raising=False)  # as a kernel's: for later
    seen = seen_in(shell, f"x = 1\n{leaving}")
    assert (seen.outcome, seen.text) == ("refused", "not tried: it would end the kernel")


def test_where_no_copy_can_be_made_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(copy, "posix", SimpleNamespace(fork=fork))
    seen = tried("1 + 1")
    is_on = gc.isenabled()
    gc.enable()
    text = "not tried: no copy could be made (Resource temporarily unavailable)"
    assert (seen.outcome, seen.text, is_on) == ("untried", text, True)


def test_nothing_runs_in_a_copy_that_is_not_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "first_step", lambda _step: nullcontext())
    assert tried("6 * 7").text == "not tried: the copy is not sealed"


def test_an_answer_counts_while_another_process_holds_the_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork = copy._fork
    held: list[int] = []

    def hold(made: copy.Copy, life: copy.Life) -> None:
        fork(made, life)
        if made.pid:
            held.append(os.dup(life._writing))

    monkeypatch.setattr(copy, "_fork", hold)
    seen = tried("6 * 7")
    os.close(*held)
    assert seen.result == "42"


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("df.v.sum()", "6.5"),
        ("print(df.v.sum())", "6.5"),
        ("total = float(df.v.sum()) + 1e-12", "6.5"),
        ("df.k[0]", "a"),
        ("print(df.k[0])", "a"),
        ("df['w'] = 1; df = df.w.to_list()", "[1, 1, 1]"),
        ("print(10**7)", "10000000"),
        ("class Odd:\n    def __repr__(self): raise SystemExit\nodd = Odd()", ""),
        ("df.v.mean", ""),
        ("df.groupby('k')", ""),
        ("[iter(df.v)]", ""),
        ("import math", ""),
    ],
)
def test_what_is_shown_printed_or_bound_has_one_value(
    source: str, value: str, shell: InteractiveShell
) -> None:
    shell.run_cell("import pandas as pd\ndf = pd.DataFrame({'k': list('aab'), 'v': [1, 3, 2.5]})")
    seen = seen_in(shell, source)
    assert (seen.outcome, seen.value) == ("runs", value)
