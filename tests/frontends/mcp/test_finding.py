"""Which of the notebooks that are served `jupyter llm mcp` means."""

from __future__ import annotations

import pytest

from jupyter_llm.errors import ServeError
from jupyter_llm.frontends.cli.serving import served_notebook
from jupyter_llm.frontends.serve import address
from jupyter_llm.frontends.serve.address import Whereabouts


def serve(monkeypatch: pytest.MonkeyPatch, *notebooks: str) -> None:
    """Let these be served, the first at port 1."""
    there = [
        Whereabouts(url=f"http://127.0.0.1:{n}/v1", token=f"t{n}", pid=n, started_s=0, notebook=one)
        for n, one in enumerate(notebooks, 1)
    ]
    monkeypatch.setattr(address, "all_served", lambda: there)


def test_the_one_that_is_served_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "", "/home/ada/report.ipynb")  # a terminal serves a model alone
    assert served_notebook("") == ("http://127.0.0.1:2/mcp", "t2")


def test_of_several_a_name_tells_which(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "/home/ada/old/report.ipynb", "/home/ada/my_report.ipynb", "/b/other.ipynb")
    for name in ("report.ipynb", "old/report.ipynb", "/home/ada/old/report.ipynb"):
        assert served_notebook(name) == ("http://127.0.0.1:1/mcp", "t1")
    with pytest.raises(ServeError, match=r"^Several notebooks are served\. .*/b/other.ipynb\.$"):
        served_notebook("")
    with pytest.raises(ServeError, match=r"^No notebook port.ipynb is served\. "):
        served_notebook("port.ipynb")


def test_where_nothing_is_served_it_is_said_how(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "")
    with pytest.raises(ServeError, match="`%llm /serve` in the notebook"):
        served_notebook("")


def test_what_is_served_shows_no_token() -> None:
    served = Whereabouts(url="http://127.0.0.1:1/v1", token="hush", pid=1, started_s=0)  # noqa: S106
    assert "hush" not in repr(served)
