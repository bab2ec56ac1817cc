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
    """
    is_open = (repository.licence_id if repository.licence else known).lower() in _OPEN
    if not is_open or (known and known.lower() not in _OPEN):
        licence = known if is_open else repository.licence or known
        text = licence_text(repository)
        check_accepted(repository.name, licence, text, link, asked=asked, is_accepted=is_accepted)


def check_accepted(
    name: str, licence: str, text: str, link: str, *, asked: str, is_accepted: bool
) -> None:
    """Raise `LicenceError` if the conditions of this text have not been accepted.

    That they are is remembered with the date and the SHA-256 of the text: another text is asked
    for again.
    """
    digest = hashlib.sha256((text or f"{licence} {link}").encode()).hexdigest()
    key = f"{name} {licence} {digest}"
    if _ACCEPTED.get(key) is not None:
        return
    if is_accepted:
        _ACCEPTED.put(key, datetime.now(UTC).isoformat(timespec="seconds"))
        return
    what = f"has a licence with conditions, {licence}" if licence else "states no licence"
    where = f" ({link})" if link else ""
    raise LicenceError(
        f"{name} {what}{where}.",
        asked,
        licence=licence,
        text=text if len(text) <= _MAX_SHOWN else "",
    )


def accepted_licences() -> dict[str, str]:
    """When licences were accepted, by repository, licence and the SHA-256 of the text."""
    return _ACCEPTED.all()
