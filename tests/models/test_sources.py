from __future__ import annotations

import json
import os
from pathlib import Path

import platformdirs
import pytest
from support.gguf_edit import ARRAY, BOOL, F32, STRING
from support.model_stores import (
    HUB,
    LM_STUDIO,
    OLLAMA,
    in_hugging_face,
    in_ollama,
    put,
    write_small_gguf,
)

from jupyter_llm.errors import ModelFileError
from jupyter_llm.models import discover, inspect
from jupyter_llm.models.discover import find_model, list_models, list_with_facts
from jupyter_llm.models.fingerprint import promised_sha256

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def small(tiny_gguf: Path, tmp_path: Path) -> Path:
    """A model of which little but the header is left."""
    return write_small_gguf(tiny_gguf, tmp_path / "small")


def listed() -> dict[str, tuple[Path, str]]:
    return {entry.name: (entry.path, entry.source) for entry in list_models()}


def test_each_program_is_found_by_its_own_places_and_names(
    small: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = in_hugging_face(home / HUB, "someone/some-model", "gguf/b.gguf", small)
    ollama = in_ollama(home / OLLAMA, "registry.ollama.ai/library/qwen2.5-coder/0.5b", small)
    service = in_ollama(home / "service", "hf.co/someone/Repo-GGUF/Q8_0", small)
    data = platformdirs.user_data_path("x").parent
    expected = {
        "b": (hub, "Hugging Face cache"),
        "lm": (put(small, home / LM_STUDIO / "p" / "m" / "LM.gguf"), "LM Studio"),
        "lm-old": (put(small, home / ".cache/lm-studio/models/p/m/lm-old.gguf"), "LM Studio"),
        "g": (put(small, data / "nomic.ai" / "GPT4All" / "G.gguf"), "GPT4All"),
        "g-py": (put(small, home / ".cache" / "gpt4all" / "g-py.gguf"), "GPT4All"),
        "l": (put(small, home / ".config/io.datasette.llm/gguf/models/l.gguf"), "llm-gguf"),
        "c": (put(small, home / ".cache" / "llama.cpp" / "c.gguf"), "llama.cpp"),
        "j": (put(small, data / "Jan" / "data/llamacpp/models/J/model.gguf"), "Jan"),
        "j-old": (put(small, home / ".config/Jan/data/models/x/y/j-old.gguf"), "Jan"),
        "qwen2.5-coder:0.5b": (ollama, "Ollama"),
        "hf.co/someone/repo-gguf:q8_0": (service, "Ollama"),
    }
    assert listed() == expected
    for name, (path, _) in expected.items():
        assert find_model(name).path == path


@pytest.mark.parametrize(
    ("variable", "below", "source"),
    [("LLAMA_CACHE", "", "llama.cpp"), ("LLM_USER_PATH", "gguf/models", "llm-gguf")],
)
def test_a_program_that_the_environment_moved_is_found_there(
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    below: str,
    source: str,
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "moved"))
    path = put(small, tmp_path / "moved" / below / "m.gguf")
    assert listed() == {"m": (path, source)}


def test_two_tags_of_one_file_in_ollama_are_one_model_of_two_names(small: Path, home: Path) -> None:
    store, blob = home / OLLAMA, "ab" * 32
    for tag in ("latest", "8b"):
        in_ollama(store, f"registry.ollama.ai/library/llama3/{tag}", small, blob=blob)
    in_ollama(store, "registry.ollama.ai/library/llama3.1/8b", small)
    assert [(entry.name, entry.aliases) for entry in list_models()] == [
        ("llama3:8b", ("llama3:latest", "llama3")),
        ("llama3.1:8b", ()),
    ]
    assert find_model("llama3").path == store / "blobs" / f"sha256-{blob}"


def test_lists_of_ollama_that_are_no_model_of_one_file_are_passed_over(
    small: Path, home: Path
) -> None:
    store = home / OLLAMA
    library = store / "manifests" / "registry.ollama.ai" / "library"
    in_ollama(store, "registry.ollama.ai/library/good/1", small, "projector")
    in_ollama(store, "registry.ollama.ai/library/adapted/1", small, "adapter")
    in_ollama(store, "registry.ollama.ai/library/split/1", small, "model")
    in_ollama(store, "top", small)
    model = "application/vnd.ollama.image.model"
    told = ["", "[]", "{", '{"layers": 1}', '{"layers": [1, {}]}', "[" * 100_000, "\0\xff"]
    told += [
        json.dumps({"layers": [{"mediaType": model, "digest": d}]}) for d in ("sha256:../x", 1)
    ]
    (library / "bad").mkdir()
    for number, text in enumerate(told):
        (library / "bad" / str(number)).write_text(text)
    os.mkfifo(library / "bad" / "pipe")
    assert list(listed()) == ["good:1"]


def test_projectors_and_adapters_are_told_by_what_they_say(tiny_gguf: Path, home: Path) -> None:
    for name, key, value in (
        ("lora", "general__type", "adapter"),
        ("eyes", "general__type", "mmproj"),
        ("old-eyes", "general__architecture", "clip"),
        ("good", "general__type", "model"),
    ):
        write_small_gguf(
            tiny_gguf, home / LM_STUDIO / "p" / f"{name}.gguf", **{key: (STRING, value)}
        )
    assert list(listed()) == ["good"]


def test_a_split_model_is_one_as_large_as_its_parts(small: Path, home: Path) -> None:
    folder = home / LM_STUDIO / "p"
    names = [f"big-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    put(small, *(folder / name for name in names))
    [(entry, file)] = list_with_facts()
    assert (entry.name, entry.path.name) == ("big", names[0])
    one = inspect.inspect(small)
    assert file.size_bytes == 3 * one.size_bytes
    assert file.num_parameters == 3 * one.num_parameters
    (folder / names[1]).unlink()
    assert list_models() == []
    with pytest.raises(ModelFileError, match="part 2 is not in its folder"):
        inspect.inspect(folder / names[0])


def test_a_link_between_stores_is_followed_and_its_file_listed_once(
    small: Path, home: Path
) -> None:
    blob = in_ollama(home / OLLAMA, "registry.ollama.ai/library/one/1", small)
    link = home / LM_STUDIO / "p" / "m" / "mine.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    [entry] = list_models()
    assert (entry.path, entry.names) == (link, ("mine", "one:1"))


def test_no_link_leads_out_of_reach_or_in_a_circle(small: Path, home: Path, tmp_path: Path) -> None:
    folder = home / LM_STUDIO
    outside = put(small, tmp_path / "outside" / "secret.gguf").parent
    put(small, folder / "p" / "good.gguf")
    (folder / "file.gguf").symlink_to(outside / "secret.gguf")
    (folder / "twice.gguf").symlink_to(folder / "file.gguf")
    (folder / "folder").symlink_to(outside)
    (folder / "through.gguf").symlink_to(folder / "folder" / "secret.gguf")
    (folder / "p" / "circle").symlink_to(folder)
    (folder / "a.gguf").symlink_to(folder / "b.gguf")
    (folder / "b.gguf").symlink_to(folder / "a.gguf")
    store = home / OLLAMA
    blob = in_ollama(store, "registry.ollama.ai/library/bad/1", small)
    blob.unlink()
    blob.symlink_to(outside / "secret.gguf")
    assert list(listed()) == ["good"]


def test_what_was_read_once_is_not_opened_again_until_it_changes(
    tiny_gguf: Path, small: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / LM_STUDIO / "p"
    put(small, folder / "a.gguf")
    put(tiny_gguf, folder / "b.gguf")
    (folder / "bad.gguf").write_text("no model")
    before = list_with_facts()
    opened: list[str] = []
    read = inspect.inspect

    def look(path: Path) -> inspect.ModelFile:
        opened.append(path.name)
        return read(path)

    monkeypatch.setattr(discover, "inspect", look)
    assert list_with_facts() == before
    assert opened == []
    os.utime(folder / "b.gguf", ns=(1, 1))
    assert [entry.name for entry in list_models()] == ["a", "b"]
    assert opened == ["b.gguf"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("general__sampling__temp", (F32, float("nan"))),
        ("general__sampling__top_p", (F32, float("inf"))),
        ("llama__context_length", (BOOL, True)),
        ("llama__embedding_length", (BOOL, True)),
        ("llama__attention__head_count", (ARRAY, (BOOL, [True, True]))),
        ("general__name", (STRING, "x" * 100_000)),
    ],
)
def test_a_file_with_an_odd_header_takes_no_other_from_the_list(
    tiny_gguf: Path, home: Path, key: str, value: tuple[int, object]
) -> None:
    write_small_gguf(tiny_gguf, home / LM_STUDIO / "odd.gguf", **{key: value})
    write_small_gguf(tiny_gguf, home / LM_STUDIO / "plain.gguf")
    facts = {entry.name: file for entry, file in list_with_facts()}
    assert facts.keys() == {"odd", "plain"}
    assert len(facts["odd"].name or "") <= 500
    assert not facts["odd"].sampling


def test_a_file_of_ollama_promises_the_hash_that_it_is_called_by(small: Path, home: Path) -> None:
    blob = in_ollama(home / OLLAMA, "registry.ollama.ai/library/one/1", small, blob="ab" * 32)
    assert promised_sha256(blob) == "ab" * 32
