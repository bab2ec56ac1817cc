"""What a chat template may do: a second and 100 MB at most, whatever stands in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.engines import ask, load
from support.evil_templates import EVIL
from support.processes import run_python
from support.tiny_model import write_tiny_model
from support.waiting import until

from jupyter_llm.engine.local.text import chat_template, rendering
from jupyter_llm.engine.local.text.chat_template import ChatTemplate
from jupyter_llm.engine.request import Message
from jupyter_llm.engine.status import Status

pytestmark = pytest.mark.slow

CONTROL_TEXTS = ("<|im_start|>", "<|im_end|>")
MESSAGES = (Message("system", "Be brief."), Message("user", "Hi <|im_end|>"))
GENERIC = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n"
    "<|im_start|>assistant\n"
)
# As several makers' templates go about it: variables, macros, calls, tools.
USUAL = (
    "{%- macro told(m) %}{{ m.content.split('</think>')[-1] | trim }}{% endmacro %}"
    "{%- set ns = namespace(number=0) %}"
    "{%- for m in messages %}{% set ns.number = ns.number + 1 %}"
    "<|im_start|>{{ m.role }} {{ ns.number }}\n{{ told(m) }}<|im_end|>\n{% endfor %}"
    "{% if tools is defined %}{{ tools | tojson }}{% endif %}<|im_start|>assistant\n"
)


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, model="toy", bos="<s>", eos="</s>", control_texts=CONTROL_TEXTS)


def tokenize(text: str, *, is_special: bool) -> list[int]:
    return [len(text)] * (1 + is_special)


FROZEN = ("{{ 10 ** (10 ** 8) }}", "{{ 'x' | center(10 ** 10) }}", "{{ 'x' * 9000000 }}", EVIL[38])


@pytest.mark.parametrize("source", FROZEN, ids=["time", "memory", "text", "loops"])
def test_a_template_without_an_end_gives_way_to_a_generic_one(
    source: str, warnings: Callable[[], list[str]]
) -> None:
    evil = template(source)
    for _ in range(2):
        assert evil.format(MESSAGES) == GENERIC
        assert evil.tokenize(MESSAGES, tokenize)
    (message,) = warnings()
    assert message.startswith("The chat template of toy takes too much ")
    assert "\n" not in message


# The process is about to be asked when the script ends.
READING_AT_THE_END = """
import sys, threading, time
from pathlib import Path
from types import SimpleNamespace
from support.engines import load, prefill
from jupyter_llm.engine.local.text import chat_template
from jupyter_llm.engine.request import Message

def late(*args):
    is_reached.set()
    time.sleep(0.5)
    return threading.Timer(*args)

is_reached = threading.Event()
engine = load(Path(sys.argv[1]))
engine.format((Message("user", "Hi"),))
chat_template.threading = SimpleNamespace(Timer=late)
prefill(engine, (Message("user", "Hello"),))
assert is_reached.wait(30)
"""


def test_a_script_that_ends_while_a_prompt_is_read_says_nothing(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "usual.gguf", chat_template=USUAL)
    assert run_python(READING_AT_THE_END, path) == ("", "")


def test_many_messages_do_not_cost_a_model_its_template() -> None:
    usual = template(USUAL)
    assert usual.format([Message("user", "Hi")] * 30_000).count("<|im_start|>user ") == 30_000
    assert usual.trouble == ""


def test_status_tells_of_a_generic_template(tmp_path: Path) -> None:
    source = "{{ raise_exception('No!') }}"
    engine = load(write_tiny_model(tmp_path / "strict.gguf", chat_template=source))
    assert engine.status().template_trouble == ""
    ask(engine, MESSAGES, 1)
    row = dict(Status(info=engine.info, engine=engine.status()).rows())["chat template"]
    assert row == "a generic one, since the file's own fails (No!)"
    engine.close()


def test_status_tells_of_a_model_without_a_template(tiny_base_gguf: Path) -> None:
    engine = load(tiny_base_gguf)
    row = dict(Status(info=engine.info, engine=engine.status()).rows())["chat template"]
    assert row.startswith("none (a base model)")
    engine.close()


def test_what_only_strings_texts_together_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "_process", None)
    source = (
        "{% for m in messages[1:] if m.role != 'tool' %}{% if loop.first and m is defined %}"
        "{{ bos_token + '<|im_start|>' + m['role'] ~ '\n' }}{% endif %}{{ m.content | trim }}"
        "{% endfor %}{{ eos_token if add_generation_prompt else '' }}"
    )
    assert template(source).format(MESSAGES) == "<s><|im_start|>user\nHi <|im_end|></s>"


@pytest.mark.parametrize("source", EVIL)
def test_no_evil_template_counts_as_simple(source: str) -> None:
    assert not rendering.is_simple(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in messages %}{% for b in messages %}x{% endfor %}{% endfor %}",
        "{% for a in messages[0]['content'] %}x{% endfor %}",
        "{% for a in messages recursive %}x{% endfor %}",
        "{% for a in messages %}{{ messages }}{% endfor %}",
        "{% for a in messages %}{% if messages | string %}x{% endif %}{% endfor %}",
        "{% for a in 'xxxx' %}x{% endfor %}",
        "{% set x = messages %}",
        "{{ messages | tojson }}",
        "{{ x % 2 }}",
        "x" * 2000,
        f"{{{{ {'not ' * 300} x }}}}",
        f"{{{{ x{'.a' * 300} }}}}",
        "{{ x",
    ],
)
def test_little_counts_as_simple(source: str) -> None:
    assert not rendering.is_simple(source)


def test_a_process_that_is_gone_is_started_again() -> None:
    usual = template(USUAL)
    text = usual.format(MESSAGES)
    process = chat_template._process._process
    assert process is not None
    process.kill()
    process.wait()
    assert usual.format(MESSAGES) == text


ENDING = """
from engine.local.text.test_template_limits import MESSAGES, USUAL, template
from jupyter_llm.engine.local.text import chat_template
template(USUAL).format(MESSAGES)
print(chat_template._process._process.pid)
"""


def test_the_process_ends_with_ours() -> None:
    said, errors = run_python(ENDING)
    assert errors == ""
    until(lambda: not psutil.pid_exists(int(said)))


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_no_evil_template_takes_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    template(USUAL).format(MESSAGES)  # the process is there, as after a first prompt
    took_s: dict[str, float] = {}

    def spent_s() -> float:  # of the processor: others use it, too
        processes = (us := psutil.Process(), *us.children())
        return sum(sum(process.cpu_times()[:4]) for process in processes)

    for source in EVIL:
        began_s = spent_s()
        template(source).tokenize(MESSAGES, tokenize)
        took_s[source] = spent_s() - began_s
    slow = {source[:60]: seconds for source, seconds in took_s.items() if seconds > 1}
    with capsys.disabled():
        print(f"\n{len(took_s)} evil templates: the slowest {max(took_s.values()):.2f} s, {slow}")
    assert slow == {}
