"""The models that are loaded on the workers of Dask clusters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from jupyter_llm.errors import MissingLibraryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jupyter_llm.common.bars import ShowProgress
    from jupyter_llm.engine.cluster.engine import ClusterEngine
    from jupyter_llm.engine.options import EngineOptions
    from jupyter_llm.engine.remote.address import Address
    from jupyter_llm.models.discover import ModelEntry


class Clusters:
    """One engine for each cluster, model and options. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.engines: dict[tuple[object, ...], ClusterEngine] = {}

    @staticmethod
    def host_of(client: Any) -> str:
        """Return the other machine of a cluster, "" if it runs on this one."""
        try:
            from jupyter_llm.engine.cluster.worker import check_client
        except ImportError as error:
            raise MissingLibraryError("client=", error, "cluster") from None
        return check_client(client) or ""

    def engine(
        self, client: Any, entry: ModelEntry, options: EngineOptions, show: ShowProgress | None
    ) -> ClusterEngine:
        """Return the engine of a model on a cluster, which is made if there is none."""
        from jupyter_llm.engine.cluster.engine import ClusterEngine

        key = client, entry.path, options
        with self._lock:  # no other thread waits until a worker comes
            engines = {key: one for key, one in self.engines.items() if not one.is_closed}
            if key not in engines:
                engines[key] = ClusterEngine(client, entry, options, show=show)
            self.engines = engines
            return engines[key]

    def close(self, should_close: Callable[[ClusterEngine], bool]) -> None:
        """Close the engines for which `should_close` is true."""
        for one in self.engines.values():
            if should_close(one):
                one.close()

    def close_at(self, place: Path | Address | None) -> None:
        """Close the engines of a model, or all."""
        self.close(lambda one: place in (None, one.info.path))
