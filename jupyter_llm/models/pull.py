"""Downloads a model from the Hugging Face hub. Nothing else in the package connects to it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jupyter_llm.common.bars import ShowProgress, Step, showing
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.common.tables import duration, human_size
from jupyter_llm.errors import DownloadError, DownloadInterrupted, JupyterLLMError, LicenceError
from jupyter_llm.models.catalog import entry_of, find_entry
from jupyter_llm.models.discover import find_model
from jupyter_llm.models.download import check_space, download
from jupyter_llm.models.hub import Repository, Wanted, licence_text, look_up, wanted
from jupyter_llm.models.sources import hub_cache, name_of

# Licences without conditions for people who run a model.
_OPEN = {
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "0bsd"),
    *("cc0-1.0", "unlicense", "bsl-1.0", "wtfpl", "ncsa", "ecl-2.0", "artistic-2.0", "postgresql"),
}
_MAX_SHOWN = 100_000  # characters
_ACCEPTED = Remembered("accepted licence", max_values=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A model that was pulled: its path, and the hub's facts about it."""

    name: str
    path: Path
    repository: str
    revision: str
    licence: str
    size_bytes: int

    @property
    def facts(self) -> str:
        """Return the model's size, origin and licence in words."""
        licence = f", licence {self.licence}" if self.licence else ""
        size = human_size(self.size_bytes)
        return f"{size} from {self.repository} ({self.revision[:7]}), SHA-256 checked{licence}"

    def __str__(self) -> str:
        return f"**{self.name}** is downloaded: {self.facts}. `%llm /use {self.name}` loads it."


def pull(
    name: str,
    *,
    accept_licence: bool = False,
    show: ShowProgress | None = None,
    meter: Meter | None = None,
) -> Pulled:
    """Download a model into huggingface_hub's cache, unless it is there.

    Raises `DownloadError`, `LicenceError` or `DownloadInterrupted`. The received part is kept, and
    the next pull continues it.
    """
    meter = meter or Meter()
    try:
        from huggingface_hub import constants

        constants.HF_HUB_DISABLE_TELEMETRY = True  # it would send which programs run here
        with showing(show) as report:
            meter.report_to = lambda share, text: report(Step(f"Downloading {name}: {text}", share))
            return _pull(name.strip(), meter, is_accepted=accept_licence)
    except KeyboardInterrupt:
        raise DownloadInterrupted(meter.progress) from None
    except JupyterLLMError:
        raise
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    except Exception as error:
        if type(error).__name__ != "InvalidURL":  # of httpx; its text may contain a password
            raise
        reason = "the address in HTTPS_PROXY, HTTP_PROXY or HF_ENDPOINT is not valid"
    raise DownloadError(f"{name} cannot be pulled ({reason}).")


def _pull(name: str, meter: Meter, *, is_accepted: bool) -> Pulled:
    entry = find_entry(name)
    asked = wanted(name) if entry is None else Wanted(entry.repository, entry.file)
    cache = hub_cache()
    repository = look_up(asked)
    files = repository.choose(asked.which)
    entry = entry or entry_of(repository.name) or entry_of(asked.repository)
    listed_licence = entry.licence if entry else ""
    link = repository.licence_link or (entry.licence_link if entry else "")
    meter.num_bytes = sum(file.size_bytes for file in files)
    _check_licence(repository, listed_licence, link, asked=name, is_accepted=is_accepted)
    check_space(files, repository, cache)
    paths = []
    for file in files:
        paths.append(download(repository, file, cache, meter.report))
        meter.finish(file.size_bytes)
    return Pulled(
        name=_name_here(paths[0]),
        path=paths[0],
        repository=repository.name,
        revision=repository.revision,
        licence=repository.licence or listed_licence,
        size_bytes=meter.num_bytes,
    )


def _check_licence(
    repository: Repository, listed_licence: str, link: str, *, asked: str, is_accepted: bool
) -> None:
    """Raise `LicenceError` if a licence has conditions that the user has not accepted.

    A repository may state any licence, so the catalogue's `listed_licence` must be open, too.
    If the text changed since it was accepted, the user has to accept it again.
    """
    is_open = (repository.licence_id if repository.licence else listed_licence).lower() in _OPEN
    if is_open and (not listed_licence or listed_licence.lower() in _OPEN):
        return
    licence = listed_licence if is_open else repository.licence or listed_licence
    text = licence_text(repository)
    digest = hashlib.sha256((text or f"{licence} {link}").encode()).hexdigest()
    key = f"{repository.name} {licence} {digest}"
    if _ACCEPTED.get(key) is not None:
        return
    if is_accepted:
        _ACCEPTED.put(key, datetime.now(UTC).isoformat(timespec="seconds"))
        return
    statement = f"has a licence with conditions, {licence}" if licence else "states no licence"
    address = f" ({link})" if link else ""
    raise LicenceError(
        f"{repository.name} {statement}{address}.",
        asked,
        licence=licence,
        text=text if len(text) <= _MAX_SHOWN else "",
    )


def _name_here(path: Path) -> str:
    """Return the name of a file on this machine, or its path if another file has that name."""
    name = name_of(path.name)
    try:
        is_same = find_model(name).path.samefile(path)
    except (JupyterLLMError, OSError):
        return name
    return name if is_same else str(path)


class Meter:
    """The progress of several files: bytes, speed and remaining time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.num_bytes = 0
        self.report_to: Callable[[float, str], None] = lambda _share, _text: None
        self._clock = clock
        self._before = self._here = 0
        # time and bytes at the start of the measurement
        self._since: tuple[float, int] | None = None

    @property
    def progress(self) -> str:
        """Return the received and the total size."""
        if not self.num_bytes:
            return "the first request"
        return f"{human_size(self._here)} of {human_size(self.num_bytes)}"

    def report(self, num_bytes: int, trouble: str) -> None:
        """Note the received bytes of the current file, and the reason if it does not grow."""
        self._here = self._before + num_bytes
        if trouble:
            self._since = None
        share = self._here / max(self.num_bytes, 1)
        self.report_to(share, f"{self.progress}, {trouble or self._pace()}")

    def finish(self, num_bytes: int) -> None:
        """Continue with the next file."""
        self._before += num_bytes
        self._here = self._before

    def _pace(self) -> str:
        now = self._clock()
        since, begun = self._since = self._since or (now, self._here)
        if now == since or self._here <= begun:
            return "just begun"
        speed = (self._here - begun) / (now - since)
        remaining_s = (self.num_bytes - self._here) / speed
        return f"{human_size(int(speed))}/s, {duration(remaining_s)} left"
