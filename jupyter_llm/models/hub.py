"""A repository of the Hugging Face hub: its files, and the choice among them.

All questions to the hub are asked here and in `download`, and only for a pull. They use
huggingface_hub's session, token, cache and offline mode; it is imported late, since it is slow.
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
# The quantization to choose if none is named: small and still good first.
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
    """The repository that a user asked for, and a quantization or a file of it."""

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
    licence: str = ""  # for display
    licence_id: str = ""  # the hub's identifier, "other" if it has none
    licence_link: str = ""
    licence_file: str = ""
    files: tuple[HubFile, ...] = ()

    def folder(self, cache: Path) -> Path:
        """Return the folder in which huggingface_hub stores the files of this revision."""
        return cache / folder_name(self.name) / "snapshots" / self.revision

    def choose(self, which: str = "") -> tuple[HubFile, ...]:
        """Return all parts of the model that `which` names: a quantization, a file or a pattern."""
        models = self._models()
        which = _PART.sub("", which)  # a part of a file selects its model
        if not models:
            raise DownloadError(
                f"{self.name} has no GGUF files. Search the hub for a repository of this model "
                "whose name ends in -GGUF."
            )
        for choice in (which,) if which else _USUAL:
            matches = [name for name in models if _matches(choice, name)]
            plain = [name for name in matches if "ud-" not in name.lower()] or matches
            if len(plain) == 1:
                return _all_parts(self.name, models[plain[0]])
            if matches:
                raise DownloadError(
                    f"{self.name} has several files for {choice}: {_list(matches)}. Name one "
                    f"after a colon, as in {self.name}:{matches[0]}."
                )
        if len(models) == 1 and not which:
            return _all_parts(self.name, next(iter(models.values())))
        kinds = dict.fromkeys(match[1] for match in map(_QUANTIZATION.search, models) if match)
        absence = f"{self.name} has no {which}. " if which else ""
        raise DownloadError(
            f"{absence}Name one after a colon, as in {self.name}:{next(iter(kinds or models))}. "
            f"There are {_list(kinds or models)}."
        )

    def _models(self) -> dict[str, list[HubFile]]:
        """Return the parts of each model by its name."""
        models: dict[str, list[HubFile]] = {}
        for file in sorted(self.files, key=lambda file: file.name):
            if file.name.lower().endswith(".gguf") and not _NO_MODEL.search(file.name):
                name = _PART.sub("", file.name)
                if name == file.name:  # a model may exist both split and unsplit
                    models[name] = [file]
                else:
                    models.setdefault(name, []).append(file)
        return models


def _all_parts(repository: str, parts: Sequence[HubFile]) -> tuple[HubFile, ...]:
    """Return the parts of a model; raise `DownloadError` if one is missing."""
    match = _PART.search(parts[0].name)
    if match is not None and len(parts) != int(match[2]):
        raise DownloadError(
            f"{repository} has {len(parts)} of the {int(match[2])} parts of {parts[0].name}."
        )
    return tuple(parts)


def _matches(which: str, name: str) -> bool:
    """Whether a file has this name or this quantization."""
    stem, wanted = name.lower().removesuffix(".gguf"), which.lower().removesuffix(".gguf")
    if wanted in (stem, stem.rpartition("/")[2]):
        return True
    return bool(re.search(rf"(?<![a-z0-9]){re.escape(wanted)}(?![a-z0-9_])", stem))


def _list(names: Any) -> str:
    shown = list(names)
    return ", ".join(shown[:12]) + (" and others" if len(shown) > 12 else "")  # noqa: PLR2004


def wanted(text: str) -> Wanted:
    """Parse `owner/repo`, `owner/repo:quant` or the address of a page on the hub."""
    if "://" not in text and text.partition("/")[0].lower() in _HOSTS:
        text = f"https://{text}"
    if "://" in text:
        return _at_address(text)
    match = _NAME.fullmatch(text)
    if match is None:
        raise DownloadError(
            f"{text[:80]!r} is neither a name in the catalogue nor owner/repository or a page of "
            "the Hugging Face hub. `%llm /pull` lists models that suit this machine."
        )
    return Wanted(match[1], match[2] or "")


def _at_address(address: str) -> Wanted:
    parts = urlsplit(address)
    if parts.hostname not in (*_HOSTS, urlsplit(endpoint()).hostname):
        raise DownloadError(
            f"{parts.hostname} is not the Hugging Face hub, and models are pulled from the hub "
            "only. `%llm /use PATH` loads a file that you downloaded yourself."
        )
    owner, _, rest = parts.path.strip("/").partition("/")
    name, *more = rest.split("/")
    revision, file = "main", ""
    if len(more) > 1 and more[0] in ("blob", "resolve", "raw", "tree"):
        revision, file = more[1], "/".join(more[2:])
    named = wanted(f"{owner}/{name}")
    is_file = file.lower().endswith(".gguf")
    return Wanted(named.repository, file if is_file else named.which, revision)


def endpoint() -> str:
    """Return the address of the hub, or of the mirror in `HF_ENDPOINT`."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def look_up(wanted: Wanted) -> Repository:
    """Ask the hub for a repository's present state."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint(), library_name="jupyter_llm")
    try:
        with explained(wanted.repository):
            info = api.model_info(
                wanted.repository, revision=wanted.revision, files_metadata=True, timeout=TIMEOUT_S
            )
        return _described(info, wanted)
    # huggingface_hub raises these for JSON of another shape, or for no JSON.
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise DownloadError(
            f"{endpoint()} does not answer as the Hugging Face hub does ({type(error).__name__}). "
            "Set HF_ENDPOINT to another mirror, or unset it to use the hub itself."
        ) from None


def _described(info: Any, wanted: Wanted) -> Repository:
    if not _COMMIT.fullmatch(str(info.sha)):
        raise DownloadError(
            f"{endpoint()} does not name the commit of {wanted.repository}. Pull again later."
        )
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
        # Files in git itself have no SHA-256; models are too large for git.
        files=tuple(
            HubFile(one.rfilename, one.lfs.size, one.lfs.sha256)
            for one in siblings
            if one.lfs is not None and _is_sound(one.rfilename, one.lfs)
        ),
    )


def _is_sound(name: str, lfs: Any) -> bool:
    """Whether a file's name and SHA-256 are paths inside the cache."""
    leads_out = name.startswith("/") or "\\" in name or ".." in name.split("/")
    is_size = type(lfs.size) is int and 0 <= lfs.size <= _LARGEST
    return not leads_out and is_size and bool(_SHA256.fullmatch(str(lfs.sha256)))


def folder_name(repository: str) -> str:
    """Return the name of a repository's folder in huggingface_hub's cache."""
    return "models--" + repository.replace("/", "--")


def licence_text(repository: Repository) -> str:
    """Return the text of the licence file in a repository, "" if there is none."""
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
    """Return the hub's response with a file, from byte `after` on."""
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
    # The session follows redirects, and omits the token if they lead to another host.
    with get_session().stream(
        "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
    ) as response:
        hf_raise_for_status(response)
        yield response


@contextmanager
def explained(repository: str) -> Iterator[None]:
    """Convert errors of the hub to a `DownloadError` of one line with advice."""
    from huggingface_hub import errors, get_token

    ours = (errors.EntryNotFoundError, errors.HFValidationError, errors.OfflineModeIsEnabled)
    try:
        yield
    except (errors.HTTPError, *ours) as error:  # type: ignore[attr-defined]
        names = [kind.__name__ for kind in type(error).__mro__]
        kind = next((name for name in _ERROR_TEXTS if name in names), "")
        message = _ERROR_TEXTS.get(kind, f"{_NO_ANSWER} ({names[0]})")
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if kind == "HfHubHTTPError":
            message = _STATUSES.get(status, message)
        token = "the one of your token" if get_token() else _SIGN_IN
        message = message.format(repository, endpoint(), token=token, status=status)
        raise DownloadError(message) from None


_SIGN_IN = "after `hf auth login` or with HF_TOKEN"
_NO_ANSWER = "{1} does not answer. Check the connection and pull again: the download resumes."
# The messages for huggingface_hub's errors, by class name; the first that fits counts.
_ERROR_TEXTS = {
    "GatedRepoError": "{0} requires that you accept its terms. Accept them on {1}/{0} with an "
    "account, {token}.",
    "RepositoryNotFoundError": "There is no repository {0} on the hub, or it is private. Check the "
    "name, or use an account that may read it, {token}.",
    "RevisionNotFoundError": "{0} has no such branch, tag or commit. Check the address.",
    "LocalEntryNotFoundError": _NO_ANSWER,  # raised without a connection
    "EntryNotFoundError": "{0} no longer has that file. Pull again.",
    "HFValidationError": "{0} cannot be the name of a repository. Check it.",
    "OfflineModeIsEnabled": "Offline mode (HF_HUB_OFFLINE) is on: unset it to pull {0}. "
    "`%llm /models` lists the models on this machine.",
    "TooManyRedirects": "{1} redirects the request for {0} without end. If a proxy or a sign-in "
    "page answers in its place, sign in, then pull again.",
    "HfHubHTTPError": "{0}: the hub answered with an error (status {status}). Pull again later.",
}
_STATUSES = {
    401: "{0}: the hub rejects your token. Set another one with `hf auth login` or HF_TOKEN.",
    403: "{0}: your token may not read it. Create one that may, on the hub's settings page.",
    429: "{0}: the hub received too many requests from here. Wait some minutes and pull again.",
}
