"""The installed version, and the weights that come with it."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["BUNDLED", "__version__"]

#: The weights that come with the package.
BUNDLED = Path(__file__).parent / "checkpoints" / "base.safetensors"

try:
    __version__ = version("protgm")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
