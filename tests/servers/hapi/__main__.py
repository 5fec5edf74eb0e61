"""Run HAPI by hand."""

from __future__ import annotations

import contextlib
import sys
import threading
from pathlib import Path

from . import Hapi

if __name__ == "__main__":
    server = Hapi(Path(sys.argv[1]))
    print(server.base, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    server.close()
