"""Nothing leaves this machine without leave, and with it text goes where the user said."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.recorded import asked, record, saved, shown
from support.scripted_server import serving
from support.servers import ScriptedServers, reached
from support.shell import extension, run
from support.tiny_model import write_tiny_model
from support.waiting import until

from jupyter_llm import llm
from jupyter_llm.engine.options import SamplingParams
from jupyter_llm.engine.remote import engine as remote
from jupyter_llm.errors import (
    EngineClosedError,
    JupyterLLMError,
    ModelFileError,
    NotAllowedError,
    OptionError,
    ServerError,
)
from jupyter_llm.frontends.cli import main
from jupyter_llm.frontends.comm.documents import status_of
from jupyter_llm.frontends.comm.messages import StatusData
from jupyter_llm.frontends.doctor import diagnose
from jupyter_llm.frontends.magics.completion import words_at
from jupyter_llm.frontends.prompt.commands import COMMANDS, Call

URL = "http://gpu.example:8000/v1"
KEYS = {("jupyter_llm", "RB_KEY"): "sk-rosebud"}
LINE = f"{URL} model=qwen3 api_key_env=GPU_KEY"
NAME = "qwen3@gpu.example:8000"
OF_THIS_MACHINE = r"^gpu\.example:8000 is a server, and this is for models of this machine\.$"

pytestmark = pytest.mark.usefixtures("fresh_llm")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> ScriptedServers:
    """Every server, none of which is asked over a network."""
    servers = ScriptedServers()
    monkeypatch.setattr(remote, "RemoteEngine", servers)
    return servers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, beside whose notebooks a project's file may lie."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder: Path, model: str) -> None:
    """Let the project name a model, as it is for a kernel that starts now."""
    (folder / "pyproject.toml").write_text(f"[tool.jupyter_llm]\nmodel = {model!r}\n")
    llm.current.project(folder)


def begin_anew() -> None:
    """Let no model be chosen, as in another kernel."""
    llm.unload()
    llm.current.__init__()  # type: ignore[misc]


def typed(command: str) -> str:
    """What a command of a notebook answers."""
    name, _, argument = command.partition(" ")
    return str(COMMANDS[name].run(Call(llm=llm, chat=llm.chat(), argument=argument)))


class TestNames:
    """How one gets to a server."""

    @pytest.mark.usefixtures("folder")
    def test_a_server_is_named_by_its_address_a_name_or_the_environment(
        self, servers: ScriptedServers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        llm.use(URL, model="qwen3", api_key_env="GPU_KEY")
        assert typed(f"use {LINE}").startswith(f"Using **{NAME}** (prompts are sent to gpu.")
        assert typed(f"alias gpu {LINE}") == f"**gpu** is an alias of {LINE}. `%llm /use gpu`."
        assert f"| gpu | {LINE} |" in typed("alias")
        llm("Hi", model="GPU", max_tokens=2)
        llm("Hi", model=LINE, max_tokens=2)
        begin_anew()
        monkeypatch.setenv("JUPYTER_LLM_MODEL", "gpu")
        llm("Hi", max_tokens=2)
        (address,) = set(servers.addresses)
        assert (address.url, address.model, address.api_key_env) == (URL, "qwen3", "GPU_KEY")
        assert len(servers.engines) == 2  # one for each kernel, whatever it is called

    @pytest.mark.parametrize(
        ("name", "options", "says"),
        [
            (URL, {"api_key": "sk-secret"}, "Did you mean api_key_env"),
            (URL, {"n_ctx": 4096}, "'n_ctx' is not a server's option. There are: "),
            (URL, {"modle": "x"}, "Did you mean model"),
            (URL, {"url": "http://evil.example/v1"}, "'url' is not a server's option"),
            (f"{URL} modle=x", {}, "Did you mean model"),
            ("http://user:sk-secret@gpu.example/v1", {}, "holds no key"),
            ("http://gpu.example/v1?key=sk-secret", {}, "holds no key"),
            (URL, {"api_key_env": "sk-secret"}, "the name of an environment variable"),
        ],
    )
    def test_a_server_that_cannot_be_named_so_is_one_line_without_the_secret(
        self, servers: ScriptedServers, name: str, options: dict[str, Any], says: str
    ) -> None:
        for call in (llm.use, lambda *given, **more: llm.alias("gpu", *given, **more)):
            with pytest.raises(OptionError, match=says) as caught:
                call(name, **options)
            assert "secret" not in str(caught.value)
            assert "\n" not in str(caught.value)
        assert servers.addresses == []
        assert llm.aliases == {}

    def test_a_name_of_a_server_is_listed_and_has_no_file(self, capsys: Any) -> None:
        llm.alias("gpu", URL, model="qwen3")
        assert "**gpu** on gpu.example:8000" in typed("models")
        assert words_at(f" /use {URL} mo", ()) == ("mo", ["role=", "model=", "api_key_env="])
        assert main(["remove", "gpu", "--yes"]) == 2
        assert "'gpu' is a model on a server. It has no file" in capsys.readouterr().err
        llm.alias("gpu", None)
        assert "gpu.example" not in typed("models")


class TestProjects:
    """A file beside a notebook sends nothing before somebody has allowed it, once."""

    @pytest.mark.parametrize("name", [LINE, "gpu"])
    def test_what_a_project_names_is_asked_about_once(
        self, servers: ScriptedServers, folder: Path, name: str
    ) -> None:
        llm.alias("gpu", URL, model="qwen3", api_key_env="GPU_KEY")
        put(folder, name)
        asks: list[Callable[[], object]] = [
            lambda: llm("Hi"),
            lambda: llm.batch(["Hi"]),
            lambda: llm.map(["Hi"], "Of: "),
            lambda: llm.embed(["Hi"]),
            lambda: llm.write("Hi"),
            lambda: llm.chat()("Hi"),
        ]
        for ask in asks:
            with pytest.raises(NotAllowedError) as caught:
                ask()
        assert str(caught.value).startswith(
            f"{folder / 'pyproject.toml'} sends prompts, and the cells and variables in them, to "
            "gpu.example:8000 with the key in GPU_KEY. Nothing was sent. `%llm /use --allow` "
        )
        assert servers.addresses == []
        assert typed("use --allow").startswith(f"Using **{NAME}**")
        assert llm("Hi", max_tokens=2).model == NAME
        begin_anew()
        assert llm("Hi", max_tokens=2).model == NAME

    @pytest.mark.parametrize(
        "other", ["http://evil.example/v1", f"{URL} api_key_env=OTHER_KEY", "evil"]
    )
    def test_another_server_or_key_is_asked_about_anew(
        self, servers: ScriptedServers, folder: Path, other: str
    ) -> None:
        llm.alias("evil", "http://evil.example/v1")
        put(folder, LINE)
        llm.use(allow=True)
        begin_anew()
        put(folder, other)
        with pytest.raises(NotAllowedError):
            llm("Hi")
        assert len(servers.addresses) == 1

    @pytest.mark.usefixtures("servers")
    def test_another_file_is_asked_about_anew(
        self, folder: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        put(folder, LINE)
        llm.use(allow=True)
        begin_anew()
        put(tmp_path_factory.mktemp("elsewhere"), LINE)
        with pytest.raises(NotAllowedError):
            llm("Hi")

    def test_leave_is_for_what_the_project_names_and_no_other_model(
        self, servers: ScriptedServers, folder: Path
    ) -> None:
        put(folder, LINE)
        with pytest.raises(OptionError, match="give no model with it"):
            llm.use("evil", allow=True)
        with pytest.raises(NotAllowedError):
            llm("Hi")
        assert not servers.addresses

    def test_what_the_user_names_needs_no_leave_of_a_project(
        self, servers: ScriptedServers, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(folder, "http://evil.example/v1")
        monkeypatch.setenv("JUPYTER_LLM_MODEL", LINE)
        assert llm("Hi", max_tokens=2).model == NAME
        assert [address.host for address in servers.addresses] == ["gpu.example:8000"]

    def test_a_project_cannot_allow_it_itself(self, folder: Path) -> None:
        (folder / "pyproject.toml").write_text("[tool.jupyter_llm]\nallow_remote = true\n")
        with pytest.raises(OptionError, match="has no setting 'allow_remote'"):
            llm.current.project(folder)

    @pytest.mark.usefixtures("folder")
    def test_where_there_is_nothing_to_allow_that_is_said(self) -> None:
        with pytest.raises(OptionError, match=r"no pyproject\.toml here names a server"):
            llm.use(allow=True)

    @pytest.mark.usefixtures("servers")
    def test_a_terminal_asks_and_allows_in_its_own_words(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        put(folder, LINE)
        assert main(["run", "Hi"]) == 2
        assert "`jupyter llm allow` allows it from now on" in capsys.readouterr().err
        assert main(["allow"]) == 0
        begin_anew()
        assert main(["run", "Hi", "--max-tokens", "4"]) == 0
        assert "(sent to gpu.example:8000" in capsys.readouterr().err

    def test_a_diagnosis_says_where_text_would_go_and_asks_nobody(
        self, servers: ScriptedServers, folder: Path
    ) -> None:
        def said() -> str:
            return next(str(one) for one in diagnose().remarks if one.what == "model")

        put(folder, LINE)
        assert "Nothing was sent. `%llm /use --allow`" in said()
        llm.use(allow=True)
        assert "is sent to gpu.example:8000, which was not checked" in said()
        assert len(servers.addresses) == 1


@pytest.fixture
def hosts(shell: InteractiveShell) -> list[Any]:
    """The hosts that anything in this process asks for, by Python's audit hook."""
    return reached()


class TestHook:
    """By the audit hook, with the real engine of servers."""

    SERVER = "http://127.0.0.1:9/v1"  # where nobody listens

    def live(self, shell: InteractiveShell, raises: type[BaseException] | None) -> None:
        """Do all that happens by itself in a notebook, and what only looks."""
        extension(shell, "reload")
        run(shell, "x = 1", store_history=True)
        run(shell, "1 / 0", raises=ZeroDivisionError, store_history=True)
        llm.chat("default").reading.draft(_draft("What is x?"))
        llm.current.hold_background(is_held=False)
        for command in ("/models", "/alias", "/status", "/doctor", "/context", "/help models"):
            run(shell, f"%llm {command}")
        words_at(" /use g", ())
        run(shell, "%llm -n 2 Hi", raises=raises)

    @pytest.mark.parametrize("name", [SERVER, f"{SERVER} model=x api_key_env=HOME", "gpu"])
    def test_a_hostile_project_reaches_nobody(
        self,
        shell: InteractiveShell,
        hosts: list[Any],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        llm.alias("gpu", self.SERVER)
        monkeypatch.delenv("JUPYTER_LLM_MODEL")
        put(tmp_path, name)
        begin_anew()
        self.live(shell, NotAllowedError)
        assert hosts == []
        run(shell, "%llm /use --allow", raises=JupyterLLMError)  # since nobody is there
        assert set(hosts) == {"127.0.0.1"}

    def test_a_name_reaches_nobody_before_it_is_used(
        self, shell: InteractiveShell, hosts: list[Any]
    ) -> None:
        llm.alias("gpu", self.SERVER)
        begin_anew()
        self.live(shell, None)
        assert hosts == []
        run(shell, "%llm -m gpu Hi", raises=JupyterLLMError)
        assert set(hosts) == {"127.0.0.1"}

    @pytest.mark.usefixtures("shell")
    @pytest.mark.parametrize("name", ["gpu", "x@127.0.0.1:9", f"{SERVER} model=x"])
    def test_saved_metadata_reaches_nobody(
        self, hosts: list[Any], tmp_path: Path, name: str
    ) -> None:
        llm.alias("gpu", self.SERVER, model="x")
        made = record()
        for host in ("", "127.0.0.1:9"):
            model = replace(made.model, name=name, host=host, sha256=None)
            path = saved(tmp_path / "a.ipynb", [asked(shown("Yes", replace(made, model=model)))])
            assert llm.verify(path).summary.endswith("1 not replayable.")
        assert hosts == []


class TestSent:
    """To a real server, over loopback."""

    def test_nothing_of_a_notebook_is_sent_before_its_first_prompt(
        self, shell: InteractiveShell
    ) -> None:
        def sent() -> int:
            return sum("rosebud" in str(body) for _path, body in server.asked)

        with serving(["Yes."]) as server:
            run(shell, f"%llm /use {server.url} model=scripted")
            run(shell, "rosebud = 'the rosebud'\nrosebud", store_history=True)
            chat = llm.chat("default")
            chat.reading.draft(_draft("What is rosebud?"))
            assert status_of(chat, "all", StatusData()).used
            assert "rosebud" in run(shell, "%llm -c all /context").text
            assert "rosebud" in run(shell, "%llm -c all --dry-run What is rosebud?").text
            assert sent() == 0
            run(shell, "%llm -c all What is rosebud?")
            assert sent() == 1
            llm.unload()

    def test_a_key_comes_from_the_keyring_and_stands_nowhere(
        self, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keyring = SimpleNamespace(get_password=lambda *name: KEYS.get(name))
        monkeypatch.setitem(sys.modules, "keyring", keyring)
        with serving(["Yes."], key="sk-rosebud") as server:
            line = f"%llm /use {server.url} model=scripted api_key_env="
            refused = run(shell, f"{line}NO_KEY", raises=ServerError)
            told = [str(refused.error), run(shell, f"{line}RB_KEY").text]
            cell = run(shell, "%llm Hi")
            told += [*cell.seen, str(llm.status()), repr(llm.current.choices.by_role)]
            answer = next(iter(llm.answers))
            llm.unload()
        assert "Yes." in cell.text
        assert "NO_KEY" in told[0]
        assert "sk-rosebud" not in "".join((*told, repr(answer)))


class TestForbidden:
    """`LLMMagics.allow_remote = False` holds for whatever asks."""

    def test_nothing_is_sent_where_it_is_forbidden(
        self, shell: InteractiveShell, servers: ScriptedServers, tmp_path: Path
    ) -> None:
        llm.alias("gpu", URL, model="qwen3")
        run(shell, "%config LLMMagics.allow_remote = False")
        put(tmp_path, LINE)
        forbidden: list[Callable[[], object]] = [
            lambda: llm.use(URL),
            lambda: llm.use("gpu"),
            lambda: llm.use("gpu", role="complete"),
            lambda: llm.use(allow=True),
            lambda: llm("Hi", model="gpu"),
            lambda: llm.map(["Hi"], "Of: ", model="gpu"),
            lambda: llm.chat()("Hi", model="gpu"),
            lambda: llm.engine("gpu"),
        ]
        for ask in forbidden:
            with pytest.raises(NotAllowedError, match=r"`LLMMagics\.allow_remote` is False"):
                ask()
        run(shell, "%llm -m gpu Hi", raises=NotAllowedError)
        extension(shell, "reload")
        run(shell, "%llm /use gpu", raises=NotAllowedError)
        assert servers.addresses == []
        assert llm("Hi", model="tiny", max_tokens=2).model == "tiny"
        run(shell, "%config LLMMagics.allow_remote = True")
        assert llm("Hi", model="gpu", max_tokens=2).model == NAME

    @pytest.mark.usefixtures("servers")
    def test_what_runs_ends_when_it_is_forbidden_and_no_other_model_takes_its_place(
        self, shell: InteractiveShell
    ) -> None:
        llm.use(URL, model="qwen3")
        engine = llm.engine()
        stream = llm.stream("Hi", max_tokens=None)
        until(lambda: bool(stream.written))
        run(shell, "%config LLMMagics.allow_remote = False")
        assert stream.result(60).finish_reason == "cancelled"
        with pytest.raises(EngineClosedError):
            engine.count_tokens("Hi")
        assert llm.current.resident_of("complete") is None
        with pytest.raises(NotAllowedError):
            llm("Hi")

    def test_one_that_is_forbidden_while_it_is_asked_is_not_used(
        self, servers: ScriptedServers
    ) -> None:
        servers.on_ask = lambda: setattr(llm.current, "allows_remote", False)
        with pytest.raises(NotAllowedError):
            llm.use(URL)
        (engine,) = servers.engines
        assert engine.is_closed
        assert llm.status().residents == ()


class TestBeside:
    """A server's model beside those of this machine."""

    def test_one_does_what_it_was_chosen_for_beside_a_model_of_this_machine(
        self, servers: ScriptedServers, tiny_gguf: Path
    ) -> None:
        llm.use(tiny_gguf, n_threads=1)
        llm.use(URL, model="qwen3", role="task")
        assert {one.info.name: one.roles for one in llm.status().residents} == {
            "tiny": ("chat",),
            NAME: ("task",),
        }
        assert llm("Hi", max_tokens=2).model == "tiny"
        assert llm.current.get(role="task").info.name == NAME
        llm.use(URL, model="qwen3")
        assert [one.info.name for one in llm.status().residents] == [NAME]
        llm.use(tiny_gguf, n_threads=1)
        assert servers.engines[0].is_closed is False  # tasks are still its own
        assert llm.current.get(role="task").info.name == NAME

    def test_whoever_cannot_be_had_leaves_what_there_was(
        self, servers: ScriptedServers, tiny_gguf: Path, tmp_path: Path
    ) -> None:
        llm.use(tiny_gguf, n_threads=1)
        servers.are_up = False
        with pytest.raises(ServerError, match=r"gpu\.example:8000 cannot be reached"):
            llm.use(URL)
        assert llm("Hi", max_tokens=2).model == "tiny"
        servers.are_up = True
        llm.use(URL, model="qwen3")
        (tmp_path / "bad.gguf").write_bytes(b"GGUF")
        with pytest.raises(ModelFileError):
            llm.use(tmp_path / "bad.gguf")
        assert llm("Hi", max_tokens=2).model == NAME
        assert not servers.engines[-1].is_closed

    @pytest.mark.usefixtures("folder")
    def test_a_server_named_for_one_prompt_is_asked_no_other(
        self, servers: ScriptedServers, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JUPYTER_LLM_MODEL", str(tiny_gguf))
        assert llm("Hi", model=LINE, max_tokens=2).model == NAME
        assert llm.current.resident is None
        assert llm.current.resident_of("complete") is None
        assert llm("And now?", max_tokens=2).model == "tiny"
        assert len(servers.engines[0].requests) == 1

    @pytest.mark.usefixtures("servers")
    def test_options_of_loading_are_not_for_servers(self) -> None:
        llm.use(URL)
        with pytest.raises(OptionError, match=OF_THIS_MACHINE):
            llm.use(n_ctx=4096)

    def test_it_is_unloaded_by_any_of_its_names_and_makes_room_for_none(
        self, servers: ScriptedServers, tiny_gguf: Path, tmp_path: Path
    ) -> None:
        llm.alias("gpu", URL, model="qwen3")
        for name in (NAME, "gpu", f"{URL} model=qwen3"):
            llm.use("gpu")
            assert typed(f"unload {name}").startswith("Nothing is sent to gpu.example:8000 any")
            assert llm.status().residents == ()
        llm.use("gpu", role="task")
        other = write_tiny_model(tmp_path / "other.gguf", seed=5)
        for path in (tiny_gguf, other):
            llm.use(path, n_threads=1)
        assert llm.current.get(role="task") is servers.engines[-1]


class TestWords:
    """Wherever an answer or a model is told of, the host is told that text went to."""

    def test_an_answer_its_record_and_the_status_say_where_text_went(
        self, shell: InteractiveShell, servers: ScriptedServers, tmp_path: Path
    ) -> None:
        run(shell, f"%llm /use {LINE}")
        assert "| text is sent to | gpu.example:8000: prompts " in run(shell, "%llm /status").text
        servers.engines[0].replies.extend(["Yes.", "x = 1", "It is one.", "good", "No."])
        assert run(shell, "%llm Is it?").text.endswith("*sent to gpu.example:8000*")
        assert "sent to gpu.example:8000" in run(shell, "%llm -f code One?").text
        run(shell, "x = 1", store_history=True)
        assert run(shell, "%llm /explain").text.endswith("*sent to gpu.example:8000*")
        told = run(shell, "%llm --choices good,bad Tone?").text
        assert "sent to gpu.example:8000; probabilities are approximate" in told
        answer = llm("Sure?")
        assert answer.provenance is not None
        assert answer.provenance.to_json()["model"]["host"] == "gpu.example:8000"
        from jupyter_llm.records.audit import audit_all, record_text

        told = record_text(answer.provenance.to_metadata())
        assert "| sent to | gpu.example:8000 |" in told
        path = saved(tmp_path / "a.ipynb", [asked(shown("No.", answer.provenance))])
        nbformat.validate(nbformat.read(path, as_version=4))
        assert NAME in str(audit_all([str(path)]))

    def test_a_model_of_this_machine_is_said_to_send_nothing(self, shell: InteractiveShell) -> None:
        assert "sent to" not in run(shell, "%llm -n 2 Hi").text
        assert "sent to" not in run(shell, "%llm /status").text
        answer = llm("Hi", max_tokens=2)
        assert answer.provenance is not None
        assert "host" not in answer.provenance.to_json()["model"]

    def test_what_was_written_elsewhere_is_not_sent_there_to_be_written_again(
        self, servers: ScriptedServers
    ) -> None:
        llm.use(URL, model="qwen3")
        servers.engines[0].replies.append("Yes.")
        answer = llm("Is it?")
        (row,) = llm.verify().rows
        assert row.remarks[0].startswith("gpu.example:8000 wrote it, and a server promises no text")
        with pytest.raises(OptionError, match=r"cannot be read again: gpu\.example:8000 wrote it"):
            llm.read_again(answer)
        assert len(servers.engines[0].requests) == 1


def _draft(prompt: str) -> Any:
    from jupyter_llm.chat.question import ChatQuestion

    return ChatQuestion(prompt=prompt, params=SamplingParams())
