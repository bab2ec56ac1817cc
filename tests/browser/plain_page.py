"""Modules of the front end in a page of their own, without Jupyter: fast, and nothing beside them.

The sources are bundled for it, so that the tests see what is in the tree.
"""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from support.node_tools import run_node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Front end</title>
<link rel="icon" href="data:,">
{styles}
<style>body {{ font: 14px sans-serif; background: var(--jp-layout-color1); }}</style>
<script type="module">
{imports}
window.isReady = true;
</script>
<body><main></main></body>
</html>
"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line on stderr for each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def bundle(folder: Path, *sources: str) -> None:
    """Bundle files of src/, each with all that it imports."""
    esbuild = ("node_modules/esbuild/bin/esbuild", "--bundle", "--format=esm", "--outbase=src")
    names = [f"src/{source}" for source in sources]
    run_node(*esbuild, "--log-level=warning", f"--outdir={folder}", *names)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/index.html"
        finally:
            server.shutdown()


@contextmanager
def serving_modules(folder: Path, *sources: str) -> Iterator[str]:
    """Serve a page on loopback on which everything that modules export is global.

    What it yields is the page's address. The page is ready once `isReady` is true.
    """
    bundle(folder, *sources)
    modules = [name for name in sources if name.endswith(".js")]
    styles = [name for name in sources if name.endswith(".css")]
    page = PAGE.format(
        styles="\n".join(f'<link rel="stylesheet" href="{name}">' for name in styles),
        imports="\n".join(
            f'import * as module{index} from "./{name}"; Object.assign(window, module{index});'
            for index, name in enumerate(modules)
        ),
    )
    (folder / "index.html").write_text(page, "utf-8")
    with serving(folder) as address:
        yield address
