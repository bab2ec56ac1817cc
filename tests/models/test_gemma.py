"""Gemma 3 270M as PyPI has it: in pieces, under terms of its own."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from jupyter_llm import llm
from jupyter_llm.errors import LicenceError
from jupyter_llm.models import sources
from jupyter_llm.models.discover import find_model
from jupyter_llm.models.fingerprint import known_sha256

NAME = "gemma-3-270m-q4_k_m"


@pytest.mark.slow
@pytest.mark.usefixtures("gemma3")
def test_its_licence_is_asked_for_then_it_is_joined_checked_loaded_and_completes(
    home: Path,
) -> None:
    with pytest.raises(LicenceError, match="accept") as caught:
        llm.pull(NAME)
    assert "GEMMA_TERMS.html" in str(caught.value)
    pulled = llm.pull(NAME, accept_licence=True)
    assert pulled.path.is_relative_to(home)
    assert pulled.is_checked
    digest = sha256(pulled.path.read_bytes()).hexdigest()
    assert digest in (sources.pieces_folder() / "SHA256SUMS").read_text()
    assert known_sha256(pulled.path) == digest
    assert find_model(NAME).path == pulled.path
    llm.use(NAME, n_ctx=512)
    assert llm.complete("One, two, three, four,", max_tokens=4, temperature=0).text.strip()
    llm.unload()
