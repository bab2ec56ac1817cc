"""Leave for a file beside a notebook to have text sent to a server: asked for once, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_llm.common.controls import one_line
from jupyter_llm.common.remembered import Remembered
from jupyter_llm.errors import NotAllowedError, OptionError

if TYPE_CHECKING:
    from jupyter_llm.engine.project import Project
    from jupyter_llm.engine.remote.address import Address

_GIVEN = Remembered("server of a project", max_values=1000)


def give_leave(project: Project, address: Address | None) -> None:
    """Let text be sent to the server that a project names, from now on."""
    if address is None:
        raise OptionError("There is nothing to allow: no pyproject.toml here names a server.")
    _GIVEN.put(_key(project, address), "")


def check_leave(project: Project, address: Address) -> None:
    """Refuse what a project says of a server as long as nobody has allowed it."""
    if _GIVEN.get(_key(project, address)) is None:
        key = f" with the key in {address.api_key_env}" if address.api_key_env else ""
        raise NotAllowedError(
            f"{one_line(str(project.path))} has prompts, and what goes along with them, sent to "
            f"{address.host}{key}. Nothing was sent. `%llm /use --allow` allows it from now on, "
            "`%llm /use NAME` takes another model."
        )


def _key(project: Project, address: Address) -> str:
    """What leave is given for: another server, or another key, is asked about anew."""
    return "\n".join((str(project.path), address.url, address.api_key_env or ""))
