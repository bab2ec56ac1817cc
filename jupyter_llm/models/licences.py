"""Licences of models: which come with conditions, and whether the user has accepted them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import LicenceError
from jupyter_llm.models.hub import Repository, licence_text

# They ask for nothing of whoever runs a model.
_OPEN = {
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "0bsd"),
    *("cc0-1.0", "unlicense", "bsl-1.0", "wtfpl", "ncsa", "ecl-2.0", "artistic-2.0", "postgresql"),
}
_MAX_SHOWN = 100_000  # characters
_ACCEPTED = Remembered("accepted licence", max_values=1000)


def check_licence(
    repository: Repository, known: str, link: str, *, asked: str, is_accepted: bool
) -> None:
    """Raise `LicenceError` if a licence has conditions that have not been accepted.

    A repository may call it as it likes, so what it is elsewhere `known` as has to be open too.
    That it was accepted is remembered with the date and the SHA-256 of the text: another text is
    asked for again.
    """
    is_open = (repository.licence_id if repository.licence else known).lower() in _OPEN
    if is_open and (not known or known.lower() in _OPEN):
        return
    licence = known if is_open else repository.licence or known
    text = licence_text(repository)
    digest = hashlib.sha256((text or f"{licence} {link}").encode()).hexdigest()
    key = f"{repository.name} {licence} {digest}"
    if _ACCEPTED.get(key) is not None:
        return
    if is_accepted:
        _ACCEPTED.put(key, datetime.now(UTC).isoformat(timespec="seconds"))
        return
    what = f"has a licence with conditions, {licence}" if licence else "states no licence"
    where = f" ({link})" if link else ""
    raise LicenceError(
        f"{repository.name} {what}{where}.",
        asked,
        licence=licence,
        text=text if len(text) <= _MAX_SHOWN else "",
    )
