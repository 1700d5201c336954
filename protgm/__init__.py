"""protgm: protein backbones by generator matching.

>>> import protgm
>>> model = protgm.load()  # doctest: +SKIP
>>> model.sample(length=100, num=2)[0].to_pdb("first.pdb")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from protgm.version import __version__

if TYPE_CHECKING:
    from protgm.sample.generate import BackboneModel, load
    from protgm.sample.settings import SamplerSettings
    from protgm.structure import Backbone, read_structure

__all__ = ["Backbone", "BackboneModel", "SamplerSettings", "__version__", "evaluate", "load", "read_structure"]

_HOME = {
    "Backbone": "structure",
    "BackboneModel": "sample.generate",
    "SamplerSettings": "sample.settings",
    "load": "sample.generate",
    "read_structure": "structure",
}


def __getattr__(name: str) -> object:
    # On demand: torch takes a second to import, which `protgm --help` need not wait for.
    if name == "evaluate":
        return import_module(f"{__name__}.evaluate")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
