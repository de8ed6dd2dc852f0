"""The charting library of the pages: Vega, Vega-Lite and Vega-Embed, as the package vl-convert-python brings them.

The package holds the libraries inside its binary and puts them together on request (`javascript_bundle`): that takes
seconds and a JavaScript engine, so another process does it once, and the file is kept.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import threading
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Final

from index.errors import UnavailableError

PACKAGE: Final = "vl-convert-python"
_MAKE: Final = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle().encode())"
_PATIENCE: Final = 120  # seconds


class ChartLibrary:
    """The library as gzipped JavaScript that sets `vega`, `vegaLite` and `vegaEmbed` on the window. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where the file is kept from one start to the next."""
        self.version = version(PACKAGE)
        self._path = folder / f"vega-{self.version}.js.gz"
        self._turn = threading.Lock()
        self._bytes: bytes | None = None

    def read(self) -> bytes:
        """About 300 kB. Raises UnavailableError where it cannot be made."""
        with self._turn:
            if self._bytes is None:
                self._bytes = self._kept() or self._made()
            return self._bytes

    def _kept(self) -> bytes | None:
        try:
            found = self._path.read_bytes()
            gzip.decompress(found)  # a damaged file is made anew
        except (OSError, EOFError, zlib.error):
            return None
        return found

    def _made(self) -> bytes:
        try:
            done = subprocess.run([sys.executable, "-c", _MAKE], capture_output=True, timeout=_PATIENCE, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise UnavailableError(
                f"The charts cannot be drawn: the package {PACKAGE} does not give its library ({error}).",
                f"The tables hold the same numbers. Install {PACKAGE} again.",
            ) from None
        packed = gzip.compress(done.stdout, mtime=0)
        self._keep(packed)
        return packed

    def _keep(self, packed: bytes) -> None:
        """Write the file whole or not at all; a folder that cannot be written costs only the next start its seconds."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path.parent, delete=False) as fresh:
                fresh.write(packed)
            os.replace(fresh.name, self._path)
        except OSError:
            return
