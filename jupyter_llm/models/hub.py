"""A repository of the Hugging Face hub: what it holds, and which of its files a name means.

What is asked of the hub is asked here and in `download`, and only for a pull. huggingface_hub knows
how (its session, token, cache and offline mode); it is imported late, since it takes a while.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_llm.errors import DownloadError

TIMEOUT_S = 20.0
_NAME = re.compile(r"([\w.-]+/[\w.-]+?)(?:\.git)?(?::([^:\s]+))?")
_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.gguf$)", re.IGNORECASE)
_NO_MODEL = re.compile(r"(^|[-_./])(mmproj|imatrix|lora|mtp)([-_.]|$)", re.IGNORECASE)
# Which quantization is taken where none is asked for: small and still good first.
_USUAL = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q4_K_XL", "MXFP4", "Q5_K_M", "Q8_0", "Q6_K", "BF16", "F16")
_QUANTIZATION = re.compile(
    r"(?<![A-Za-z0-9])((?:UD-)?I?Q\d\w*|TQ\d_\d|MXFP4\w*|BF16|FP?16|FP?32)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_LICENCE_FILE = re.compile(r"(LICEN[CS]E|COPYING|TERMS)[\w-]*(\.txt|\.md)?", re.IGNORECASE)
_LONGEST_LICENCE = 1 << 20
_LARGEST = 1 << 50  # bytes of a file
_COMMIT = re.compile("[0-9a-f]{40}")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked for: a repository, and a quantization or a file of it."""

    repository: str
    which: str = ""
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub describes it."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository at one of its revisions."""

    name: str
    revision: str  # a commit
    branch: str = "main"
    licence: str = ""  # as it is called to people
    licence_id: str = ""  # as the hub calls it, "other" for what it does not know
    licence_link: str = ""
    licence_file: str = ""
    files: tuple[HubFile, ...] = ()

    def folder(self, cache: Path) -> Path:
        """Where huggingface_hub keeps the files of this revision."""
        return cache / folder_name(self.name) / "snapshots" / self.revision

    def choose(self, which: str = "") -> tuple[HubFile, ...]:
        """All parts of the model that is meant: of a quantization, a file's name or a pattern."""
        models = self._models()
        which = _PART.sub("", which)  # a part stands for its model
        if not models:
            raise DownloadError(
                f"{self.name} has no GGUF files. Look on the hub for a repository of this model "
                "whose name ends in -GGUF."
            )
        for choice in (which,) if which else _USUAL:
            found = [name for name in models if _is_meant(choice, name)]
            plain = [name for name in found if "ud-" not in name.lower()] or found
            if len(plain) == 1:
                return _whole(self.name, models[plain[0]])
            if found:
                raise DownloadError(
                    f"{self.name} has several files for {choice}: {_list(found)}. Say which one "
                    f"after a colon, as in {self.name}:{found[0]}."
                )
        if len(models) == 1 and not which:
            return _whole(self.name, next(iter(models.values())))
        kinds = dict.fromkeys(match[1] for match in map(_QUANTIZATION.search, models) if match)
        no_such = f"{self.name} has no {which}. " if which else ""
        raise DownloadError(
            f"{no_such}Say which one after a colon, as in {self.name}:{next(iter(kinds or models))}"
            f"; there are {_list(kinds or models)}."
        )

    def _models(self) -> dict[str, list[HubFile]]:
        """The models by their names, each with its parts."""
        models: dict[str, list[HubFile]] = {}
        for file in sorted(self.files, key=lambda file: file.name):
            if file.name.lower().endswith(".gguf") and not _NO_MODEL.search(file.name):
                whole = _PART.sub("", file.name)
                if whole == file.name:  # some repositories have a model in parts, and whole too
                    models[whole] = [file]
                else:
                    models.setdefault(whole, []).append(file)
        return models


def _whole(repository: str, parts: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """The parts of a model, if all of them are there."""
    match = _PART.search(parts[0].name)
    if match is not None and len(parts) != int(match[2]):
        raise DownloadError(
            f"{repository} has {len(parts)} of the {int(match[2])} parts of {parts[0].name}."
        )
    return tuple(parts)


def _is_meant(which: str, name: str) -> bool:
    """Whether a file is the one of that name, or of that quantization."""
    stem, wanted = name.lower().removesuffix(".gguf"), which.lower().removesuffix(".gguf")
    if wanted in (stem, stem.rpartition("/")[2]):
        return True
    return bool(re.search(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9_])", stem))


def _list(names: Any) -> str:
    shown = list(names)
    return ", ".join(shown[:12]) + (" and others" if len(shown) > 12 else "")  # noqa: PLR2004


def wanted(text: str) -> Wanted:
    """What `owner/repo`, `owner/repo:quant` or the address of a page on the hub asks for."""
    if "://" not in text and text.partition("/")[0].lower() in _HOSTS:
        text = f"https://{text}"
    if "://" in text:
        return _at_address(text)
    match = _NAME.fullmatch(text)
    if match is None:
        raise DownloadError(
            f"{text[:80]!r} is no name from the catalogue, no owner/repository of the Hugging Face "
            "hub, and no address of a page there. `%llm /pull` lists what suits this machine."
        )
    return Wanted(match[1], match[2] or "")


def _at_address(address: str) -> Wanted:
    parts = urlsplit(address)
    if parts.hostname not in (*_HOSTS, urlsplit(endpoint()).hostname):
        raise DownloadError(
            f"{parts.hostname} is not the Hugging Face hub. Models are pulled from there only; a "
            "file you have downloaded yourself is loaded with `%llm /use PATH`."
        )
    owner, _, rest = parts.path.strip("/").partition("/")
    name, *more = rest.split("/")
    revision, file = "main", ""
    if len(more) > 1 and more[0] in ("blob", "resolve", "raw", "tree"):
        revision, file = more[1], "/".join(more[2:])
    found = wanted(f"{owner}/{name}")
    is_file = file.lower().endswith(".gguf")
    return Wanted(found.repository, file if is_file else found.which, revision)


def endpoint() -> str:
    """The address of the hub, or of the mirror in `HF_ENDPOINT`."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def look_up(wanted: Wanted) -> Repository:
    """A repository as it is now; the hub is asked."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint(), library_name="jupyter_llm")
    try:
        with explained(wanted.repository):
            info = api.model_info(
                wanted.repository, revision=wanted.revision, files_metadata=True, timeout=TIMEOUT_S
            )
        return _described(info, wanted)
    # So huggingface_hub and what is below take JSON of another shape, or none at all.
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise DownloadError(
            f"{endpoint()} does not answer as the Hugging Face hub does ({type(error).__name__}). "
            "HF_ENDPOINT names another mirror, or the hub itself where it is not set."
        ) from None


def _described(info: Any, wanted: Wanted) -> Repository:
    if not _COMMIT.fullmatch(str(info.sha)):
        raise DownloadError(f"{endpoint()} does not say which commit {wanted.repository} is at.")
    if not _NAME.fullmatch(info.id) or ":" in info.id:
        raise ValueError(info.id)
    siblings = info.siblings or ()
    card: Any = info.card_data or {}
    names = [sibling.rfilename for sibling in siblings]
    return Repository(
        name=info.id,
        revision=str(info.sha),
        branch=wanted.revision,
        licence=str(card.get("license_name") or card.get("license") or ""),
        licence_id=str(card.get("license") or ""),
        licence_link=str(card.get("license_link") or ""),
        licence_file=next((name for name in names if _LICENCE_FILE.fullmatch(name)), ""),
        # What the hub keeps in git itself has no SHA-256; models are too large for that.
        files=tuple(
            HubFile(one.rfilename, one.lfs.size, one.lfs.sha256)
            for one in siblings
            if one.lfs is not None and _is_sound(one.rfilename, one.lfs)
        ),
    )


def _is_sound(name: str, lfs: Any) -> bool:
    """Whether a file and its SHA-256 are names that lead to nowhere but into the cache."""
    leads_out = name.startswith("/") or "\\" in name or ".." in name.split("/")
    is_size = type(lfs.size) is int and 0 <= lfs.size <= _LARGEST
    return not leads_out and is_size and bool(_SHA256.fullmatch(str(lfs.sha256)))


def folder_name(repository: str) -> str:
    """What huggingface_hub calls a repository's folder in its cache."""
    return "models--" + repository.replace("/", "--")


def licence_text(repository: Repository) -> str:
    """The licence that lies in a repository; empty if there is none."""
    if not repository.licence_file:
        return ""
    with explained(repository.name), opened(repository, repository.licence_file) as response:
        text = b""
        for chunk in response.iter_bytes():
            text += chunk
            if len(text) > _LONGEST_LICENCE:
                break
    return text.decode("utf-8", "replace").strip()


@contextmanager
def opened(repository: Repository, name: str, *, after: int = 0) -> Iterator[Any]:
    """The hub's response with a file, or with what comes after its first bytes."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    url = hf_hub_url(repository.name, name, revision=repository.revision, endpoint=endpoint())
    headers = build_hf_headers(library_name="jupyter_llm") | {"Accept-Encoding": "identity"}
    if after:
        headers["Range"] = f"bytes={after}-"
    # The session follows redirects, and leaves the token out where they lead to another host.
    with get_session().stream(
        "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
    ) as response:
        hf_raise_for_status(response)
        yield response


@contextmanager
def explained(repository: str) -> Iterator[None]:
    """Say in one line what the hub answered, and what to do about it."""
    from huggingface_hub import errors, get_token

    ours = (errors.EntryNotFoundError, errors.HFValidationError, errors.OfflineModeIsEnabled)
    try:
        yield
    except (errors.HTTPError, *ours) as error:  # type: ignore[attr-defined]
        names = [kind.__name__ for kind in type(error).__mro__]
        kind = next((name for name in _TOLD if name in names), "")
        told = _TOLD.get(kind, f"{_NO_ANSWER} ({names[0]})")
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if kind == "HfHubHTTPError":
            told = _STATUSES.get(status, told)
        token = "that of your token" if get_token() else _SIGN_IN
        told = told.format(repository, endpoint(), token=token, status=status)
        raise DownloadError(told) from None


_SIGN_IN = "yours: `hf auth login`, or HF_TOKEN, tells it"
_NO_ANSWER = (
    "{1} does not answer. Check the connection and pull again; it goes on from where it was."
)
# What huggingface_hub's errors mean, by their names; the first that fits counts.
_TOLD = {
    "GatedRepoError": "{0} is given only to those who accepted its terms. Accept them on {1}/{0} "
    "with an account, {token}.",
    "RepositoryNotFoundError": "There is no repository {0} on the hub, or it is private. Check the "
    "name; a private one needs an account that may read it, {token}.",
    "RevisionNotFoundError": "{0} has no such branch, tag or commit.",
    "LocalEntryNotFoundError": _NO_ANSWER,  # so it says without a connection
    "EntryNotFoundError": "{0} no longer has that file. Pull again.",
    "HFValidationError": "{0} is no name that a repository may have.",
    "OfflineModeIsEnabled": "Offline mode (HF_HUB_OFFLINE) is on: unset it to pull {0}. "
    "`%llm /models` lists what is here.",
    "TooManyRedirects": "{1} sends whoever asks for {0} from one address to the next without end. "
    "Does a proxy or a sign-in page answer for it? Pull again once it does not.",
    "HfHubHTTPError": "{0}: the hub answered with an error (status {status}). Pull again later.",
}
_STATUSES = {
    401: "{0}: the hub does not take your token. `hf auth login` makes another one known, or "
    "HF_TOKEN.",
    403: "{0}: your token may not read it. Make one that may, on the hub's settings page.",
    429: "{0}: the hub has had too many requests from here. Wait some minutes and pull again.",
}
