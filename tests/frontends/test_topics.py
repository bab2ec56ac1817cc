"""The help by topics: a screen each, the same wherever one asks for it."""

from __future__ import annotations

import pytest

from jupyter_llm import llm
from jupyter_llm.errors import MagicUsageError
from jupyter_llm.frontends.cli import main
from jupyter_llm.frontends.comm.commands import PANEL_COMMANDS
from jupyter_llm.frontends.magics.completion import words_at
from jupyter_llm.frontends.magics.magics import magic_commands
from jupyter_llm.frontends.prompt.commands import Call
from jupyter_llm.frontends.topics import topic, topics


@pytest.mark.parametrize("name", topics())
def test_a_topic_has_a_title_and_is_at_most_a_screen(name: str) -> None:
    lines = topic(name).splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert not any("**" in code for code in topic(name).split("`")[1::2])  # terminals leave it out


def test_help_lists_the_topics_and_explains_each_in_every_front_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for commands in (magic_commands(lambda *_: None), PANEL_COMMANDS):
        call = Call(llm=llm, chat=llm.chat())
        assert all(f"`/help {name}`" in str(commands["help"].run(call)) for name in topics())
        call = Call(llm=llm, chat=llm.chat(), argument="Seeds")
        assert commands["help"].run(call).text == topic("seeds")
    assert main(["help"]) == main(["help", "seeds"]) == 0
    assert "The same text again" in capsys.readouterr().out
    assert words_at(" /help se", ()) == ("se", topics())


def test_an_unknown_topic_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MagicUsageError, match=r"no help about 'sed'\. Did you mean seeds\?"):
        topic("sed")
    assert main(["help", "xyzzy"]) == 2
    assert "There are chats, columns, " in capsys.readouterr().err
