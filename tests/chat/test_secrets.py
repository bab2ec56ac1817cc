"""Secrets of a notebook: in no prompt, not on the disk, in no new cell; in a real shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.scripted import ScriptedEngine
from support.shell import cell, run
from support.stored import stored_bytes

from jupyter_llm import llm
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.notebook.cells.document import DocumentCell
from jupyter_llm.notebook.values import secrets, seen_secrets
from jupyter_llm.notebook.values.redaction import redact_source
from jupyter_llm.notebook.values.secrets import HIDDEN
from jupyter_llm.tasks.completing.prompt import PromptWriter

SECRET = "S02x9abc"  # noqa: S105
TWENTY = [
    f"password = '{SECRET}'",
    "print(password)",
    f"api_key: str = '{SECRET}'",
    "copy = api_key\ncopy",
    f"config = {{'db': {{'user': 'ann', 'password': '{SECRET}'}}}}\nconfig",
    "config['db']['password']",
    f"import os\nos.environ['SHOP_TOKEN'] = '{SECRET}'",
    "dict(os.environ)",
    "print(os.environ['SHOP_TOKEN'])",
    f"import pandas as pd\nframe = pd.DataFrame({{'user': ['ann'], 'api_key': ['{SECRET}']}})",
    "frame",
    "frame.iloc[0]",
    "frame['api_key']",
    "frame.to_dict('records')",
    f"def connect(user, password='{SECRET}'): raise ValueError(password)",
    "try:\n    connect('ann')\nexcept ValueError as error:\n    print(error)",
    f"url = 'postgresql://ann:{SECRET}@db.example.org/shop'\nurl",
    f"print('Authorization: Bearer {SECRET}{SECRET}')",
    f"# the token: {SECRET}",
    f"pem = '''-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----'''\nprint(pem)",
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SHOP_TOKEN", "")
    seen_secrets.forget()
    yield
    seen_secrets.forget()
    secrets.forget()


def told(engine: ScriptedEngine) -> str:
    return "\n".join(engine.format(request.prompt) for request in engine.requests)


def test_none_of_twenty_is_in_a_prompt_or_on_the_disk(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    for number, source in enumerate(TWENTY):
        cell(shell, source)
        cell(shell, f"%llm -c all And now, {number}?")
    cell(shell, "%llm -c all What of @password, @copy, @frame, @config, @In[1] and @In[3]?")
    cell(shell, "%llm -c all It is {{password}}, {{copy}}, {{frame}}, {{config}} and {{url}}.")
    text = told(resident)
    assert SECRET not in text
    assert text.count(HIDDEN) > 20
    assert "postgresql://ann:" in text
    assert SECRET.encode() not in stored_bytes()


def test_what_is_typed_is_the_users_own_word(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    cell(shell, f"%llm Why is the password {SECRET} too short?")
    assert SECRET in told(resident)


@pytest.mark.usefixtures("resident")
def test_context_counts_what_is_hidden_and_show_tells_one(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    cell(shell, f"password = '{SECRET}'")
    cell(shell, "token = 'T03y8xyz'\nprint(token, token)")
    shown = cell(shell, "%llm /context").text
    assert "4 secrets are hidden in it: `password`, `token` (3)" in shown
    assert SECRET not in shown
    assert "T03y8xyz" not in shown
    assert "`password`, `token`" in cell(shell, "%llm /show").text
    assert "included like any other value" in cell(shell, "%llm /show password").text
    cell(shell, "%llm hello")
    assert SECRET in told(resident)
    assert "T03y8xyz" not in told(resident)
    assert "hidden from the next" in cell(shell, "%llm /hide password").text
    cell(shell, f"again = '{SECRET}'")
    cell(shell, "%llm --new -c 1 hello")
    assert SECRET not in resident.format(resident.requests[-1].prompt)
    run(shell, "%llm /show tokn", raises=MagicUsageError)


def test_no_new_cell_sets_a_secret_to_the_mark_of_a_hidden_one(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    cell(shell, f"password = '{SECRET}'")
    resident.replies.clear()
    resident.replies.append(f"password = '{HIDDEN}'\nprint(len(password))")
    text = cell(shell, "%llm -f code -t 0 How long is it?").text
    landed = shell.rl_next_input or ""
    assert "len(password)" in text
    assert "`password` stays" in text
    assert f"password = '{HIDDEN}'" not in f"{text}{landed}"


def test_a_cell_that_is_fixed_keeps_its_secrets(
    shell: InteractiveShell, resident: ScriptedEngine
) -> None:
    source = (
        f"password = '{SECRET}'\nlogin(f'x', url='db://ann:{SECRET}@h') if 0 else 0\nn = 0\n1 / n"
    )
    run(shell, source, raises=ZeroDivisionError, store_history=True)
    fixed = source.replace("n = 0", "n = 2")
    resident.replies.clear()
    resident.replies.append(redact_source(fixed).text)
    assert llm.fix(temperature=0).source == fixed
    assert SECRET not in told(resident)
    assert "password" in told(resident)


# Each shows a secret in one place alone, where a name stands beside it; `other` holds it, too.
PLACES = {
    "source": "password = 'S02x9-abc'",
    "output": "print('password: S02x9-abc')",
    "row": "print('| user | password |\\n|---|---|\\n| ann | S02x9-abc |')",
    "column": "import pandas as pd\nshop = pd.DataFrame({'user': ['ann'], 'password': [other]})",
    "index": "import pandas as pd\nshop = pd.Series(['ann', other], index=['user', 'password'])",
    "field": "import types\nshop = types.SimpleNamespace(user='ann', password=other)",
    "message": "raise ValueError('no entry with password=S02x9-abc')",
}
LEAKS = (
    "note = other\nprint(f'it is {note}')",
    "listed = ['a', other]\nlisted",
    "'S02x9-abc'",
    "import pandas as pd\nframe = pd.DataFrame({'of': ['x'], 'it': [other]})\nframe",
    "try:\n    raise KeyError(other)\nexcept KeyError as error:\n    print(repr(error))",
)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_what_one_place_shows_to_be_a_secret_is_told_in_no_place(
    shell: InteractiveShell,
    resident: ScriptedEngine,
    tmp_path: Path,
    place: str,
    is_first: bool,  # noqa: FBT001
) -> None:
    secret = "S02x9-abc"  # noqa: S105
    (tmp_path / "notes.txt").write_text(f"it is {secret}\n", encoding="utf-8")
    shell.user_ns["other"] = secret
    cells = [PLACES[place], *LEAKS] if is_first else [*LEAKS, PLACES[place]]
    for number, source in enumerate(cells):
        shell.run_cell(source, store_history=True)
        if not is_first and number == 1:
            cell(shell, "%llm What of @note?")  # a turn before anything shows it
            resident.requests.clear()
    file = f"@{tmp_path / 'notes.txt'}"
    names = "@other @note @listed @frame" + (" @shop" if "shop" in shell.user_ns else "")
    cell(shell, f"%llm -c all What of {names} {file}, {{{{note}}}}, {{{{listed}}}}, {{{{frame}}}}?")
    cell(shell, "%llm /explain")
    text = told(resident) + cell(shell, "%llm /context").text
    above = [DocumentCell(str(number), "code", source) for number, source in enumerate(cells)]
    ghost = PromptWriter(resident.info).above(above) if place == "source" else ()
    assert secret not in f"{text}{ghost}"
    assert "it is" in text
