"""A model in the kernel, while code is tried and afterwards."""

from __future__ import annotations

from IPython.core.interactiveshell import InteractiveShell
from support.seal import needs_seal

from jupyter_llm import llm
from jupyter_llm.notebook.sealed.trying import try_code

pytestmark = needs_seal

CODES = ("import numpy as np\nnp.ones((200, 200)) @ np.ones((200, 200))", "1 / 0", "open('x', 'w')")


def try_some(shell: InteractiveShell) -> None:
    for code in CODES:
        assert try_code([code], shell.user_ns, shell=shell, timeout_s=50).outcome != "untried"


def test_a_model_answers_as_before(shell: InteractiveShell) -> None:
    before = llm.complete("Hello", max_tokens=40, seed=7, ignore_eos=True).text
    try_some(shell)
    assert llm.complete("Hello", max_tokens=40, seed=7, ignore_eos=True).text == before


def test_a_model_writes_on_while_code_is_tried(shell: InteractiveShell) -> None:
    alone = llm.stream("Hello", max_tokens=1500, seed=7, ignore_eos=True).result().text
    chunks = iter(llm.stream("Hello", max_tokens=1500, seed=7, ignore_eos=True))
    begun = next(chunks).text
    try_some(shell)
    assert begun + "".join(chunk.text for chunk in chunks) == alone


def test_code_that_asks_a_model_is_not_tried(shell: InteractiveShell) -> None:
    shell.user_ns["llm"] = llm
    seen = try_code(["llm('Hello')"], shell.user_ns, shell=shell)
    assert seen.text == "not tried: it asks a model, which does not answer in a copy"
