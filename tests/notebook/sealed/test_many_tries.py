"""Thousands of tries in one kernel, beside all that a notebook may have open."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kernel import running_kernel
from support.seal import needs_seal

pytestmark = [
    needs_seal,
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.timeout(3600),
]

SETUP = """
import asyncio, sqlite3, threading, time
import matplotlib.pyplot as plt
import numpy as np, pandas as pd, polars as pl, psutil
from jupyter_llm.notebook.sealed.trying import try_code

%load_ext jupyter_llm
get_ipython().history_manager.enabled = False  # it comes and goes with a thread and a file
sales = pd.DataFrame({'city': ['Bern', 'Kyiv', 'Oslo'] * 1000, 'price': range(3000)})
frame = pl.DataFrame({'a': [1, 2, 3]}).lazy().filter(pl.col('a') > 1).collect()
database = sqlite3.connect('sales.db')
database.execute('create table sales (city)')
database.execute("insert into sales values ('Bern')")
database.commit()
np.ones((300, 300)) @ np.ones((300, 300))
beats = {'task': 0, 'thread': 0}

async def beat():
    while True:
        beats['task'] += 1
        await asyncio.sleep(0.01)

def work():
    while True:
        beats['thread'] += sum(range(1000)) > 0
        time.sleep(0.001)

task = asyncio.create_task(beat())
threading.Thread(target=work, daemon=True).start()
tries = {
    "sales.groupby('city').price.sum()": 'runs',
    "sales['citi']": "raises KeyError: 'citi'",
    "total = sales.price.sum()\\ntotal * 2": 'runs',
    "plt.plot(sales.price)": 'runs',
    "database.execute('select * from sales').fetchall()": 'runs',
    "database.execute('delete from sales')": 'not tried: it would write to a database',
    "frame.group_by('a').agg(pl.len())": 'runs',
    "np.ones((100, 100)) @ np.ones((100, 100))": 'runs',
    "sales.to_csv('out.csv')": 'not tried: it would write a file (out.csv)',
    "import asyncio\\nawait asyncio.sleep(0)": 'runs',
}
wrong = []

def run(number):
    for turn in range(number):
        code = list(tries)[turn % len(tries)]
        seen = try_code([code], globals(), shell=get_ipython(), timeout_s=60)
        if seen.text.partition(';')[0] != tries[code]:  # what it gives comes behind
            wrong.append((code, seen))

def held():
    process = psutil.Process()
    return (
        len(process.children(recursive=True)), process.num_fds(), threading.active_count(),
    )

def memory():
    return psutil.Process().memory_full_info().uss
"""


def test_a_kernel_stays_as_it_was(tmp_path: Path) -> None:
    with running_kernel(tmp_path) as kernel:
        assert kernel.execute(SETUP).error is None
        warm = kernel.execute("run(20); before = held(), memory(); beaten = dict(beats)")
        assert warm.error is None, warm.text
        for _ in range(100):
            ran = kernel.execute("run(20)", timeout_s=600)
            assert ran.error is None, ran.text
            assert ran.outputs == []
        assert kernel.execute("wrong").text == "[]"
        assert kernel.execute("print(held() == before[0], before[0], held())").text.startswith(
            "True"
        )
        assert kernel.execute("max(0, memory() - before[1]) < 50_000_000").text == "True"
        assert kernel.execute("all(beats[name] > beaten[name] for name in beats)").text == "True"
        assert kernel.execute("task.done()").text == "False"
        rows = kernel.execute("database.execute('select * from sales').fetchall()")
        assert rows.text == "[('Bern',)]"
        assert kernel.execute("frame.filter(pl.col('a') > 2).height").text == "1"
        assert not (tmp_path / "out.csv").exists()
