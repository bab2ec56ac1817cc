"""`python -m jupyter_llm` is `jupyter llm`."""

from __future__ import annotations

import sys

from jupyter_llm.frontends.cli import main

if __name__ == "__main__":
    sys.exit(main())
