"""Data-parallel training: the processes of a run, and how they are started.

Every process holds the whole network and its share of each batch; gradients are averaged in one message per step. Three
ways lead here, and what a run computes is the same on each:

- ``processes=``: single-threaded processes on this machine's processor, joined by gloo; needs nothing but torch;
- ``devices=``, ``num_nodes=``: Lightning Fabric finds the devices and starts a process for each;
- torchrun and SLURM start the processes themselves, and Fabric reads from the environment which one this is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from protgm.allocator import keep_freed_memory
from protgm.device import automatic_device, usable_device
from protgm.memory import out_of_memory
from protgm.stopping import heed, heeded, postponed, unheeded

__all__ = ["World", "launch", "launch_fabric", "started_by_launcher"]


@dataclass(frozen=True)
class World:
    """This process among those of a run.

    Parameters
    ----------
    rank, size : int
    device : torch.device
        Where it computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable

    @property
    def first(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """``values`` averaged over the processes."""
        if self.size == 1:
            return values
        values = values.clone()
        dist.all_reduce(values)
        return values / self.size

    def average_gradients(self, model: nn.Module) -> None:
        """Replace each gradient by its mean over the processes (one message for all)."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        parts = flat.split([g.numel() for g in gradients])
        torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])

    def agree(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared.item())

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        shared = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared.item())


def started_by_launcher() -> bool:
    """Whether torchrun or SLURM (srun) started this process as one of several."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ.get("WORLD_SIZE", "1")) > 1
    # Set by srun alone: a batch script that calls protgm itself is one process, whatever the job's number of tasks.
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1


def launch_fabric(
    run: Callable[[World], None], *, devices: int | str | None, num_nodes: int, accelerator: str = "auto"
) -> None:
    """Call ``run(world)`` in a process per device, which Lightning Fabric starts, or finds itself started as.

    Parameters
    ----------
    run : callable
    devices : int or str, optional
        As Fabric takes them: how many, ``auto`` (the default), ``-1`` or a list of numbers.
    num_nodes : int
    accelerator : str
        ``auto``, ``cuda``, ``mps`` or ``cpu``.

    Raises
    ------
    ValueError
        If Fabric is not installed, or refuses the settings.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise ValueError(
            "training on several devices needs Lightning Fabric: pip install 'protgm[scale]'; on the processors of "
            "one machine processes= does without"
        ) from None
    if devices is None and "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        devices, num_nodes = local, max(1, int(os.environ.get("WORLD_SIZE", "1")) // local)
    try:
        wanted = "auto" if devices is None else devices
        fabric = Fabric(accelerator=accelerator, devices=wanted, num_nodes=num_nodes)
    except Exception as error:  # of several kinds, as its backends have it
        raise ValueError(f"devices={devices} num_nodes={num_nodes}: {' '.join(str(error).split())}") from None
    with postponed():
        fabric.launch()
    if fabric.device.type == "cpu" and fabric.world_size > 1:
        torch.set_num_threads(1)
    try:
        run(World(fabric.global_rank, fabric.world_size, fabric.device))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def launch(run: Callable[[World], None], processes: int, device: str | None = None) -> bool:
    """Call ``run(world)`` in this process, or in ``processes`` new ones on the processor, joined by gloo.

    SIGTERM and SIGINT to this process are passed on to the others as requests to stop (`protgm.stopping`), and the
    others are waited for. If this one is killed, they get SIGTERM. ``run`` must be picklable where there are several.

    Returns
    -------
    bool
        False where the request came before all processes were up: ``run`` has not begun.

    Raises
    ------
    ValueError
        What was wrong in one of the processes; the others are ended.
    """
    if processes == 1:
        run(World(device=automatic_device() if device is None else usable_device(device)))
        return True
    with heeded() as stop, tempfile.TemporaryDirectory(prefix="protgm-") as folder:
        team = _Team(run, processes, Path(folder))
        team.start()
        stop.tell(team.stop)
        codes = team.wait()
        if not team.dismissed:
            _raise(Path(folder), codes)
    return not team.dismissed


class _Team:
    """The processes that compute, seen from the one that has started them."""

    def __init__(self, run: Callable[[World], None], size: int, folder: Path) -> None:
        context = get_context("spawn")
        self.folder = folder
        self.children = [
            context.Process(target=_worker, args=(run, rank, size, str(folder)), daemon=True) for rank in range(size)
        ]
        self.dismissed = False

    def start(self) -> None:
        if os.name == "posix":
            # The first process to be started would start this one, which lets signals through again when it is up.
            from multiprocessing.resource_tracker import ensure_running

            ensure_running()
        with postponed():
            for child in self.children:
                child.start()

    def stop(self) -> None:
        """Pass a request on; while not all are up, none has begun anything that it could be asked to finish."""
        self.dismissed |= len(list(self.folder.glob("up-*"))) < len(self.children)
        for child in self.children:
            if child.exitcode is None:
                with contextlib.suppress(ProcessLookupError):  # it has ended just now
                    os.kill(child.pid, signal.SIGKILL if self.dismissed else signal.SIGTERM)  # type: ignore[arg-type]

    def wait(self) -> list[int | None]:
        """Exit codes when all have ended, or as they were when one had failed and before the others were ended."""
        running = list(self.children)
        while running:
            connection.wait([child.sentinel for child in running])
            running = [child for child in running if child.exitcode is None]
            codes = [child.exitcode for child in self.children]
            if any(codes):
                # Those that wait for the one that failed find out by themselves, or are told.
                _end(running)
                break
        return codes


def _end(children: Sequence[BaseProcess], patience: float = 5.0) -> None:
    deadline = time.monotonic() + patience
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
        if child.exitcode is None:
            child.kill()
            child.join()


def _raise(folder: Path, codes: list[int | None]) -> None:
    """What a process left behind as a reason; one in words before one that only followed from it."""
    if not any(codes):
        return
    reasons = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("error-*"))]
    for reason in reasons:
        if reason["expected"]:
            raise ValueError(reason["text"])
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = ": out of memory?" if name == "SIGKILL" else ""
            raise ValueError(f"training process {rank} was killed ({name}){hint}")
    for reason in reasons:
        raise RuntimeError(reason["text"])
    rank, code = next((rank, code) for rank, code in enumerate(codes) if code)
    raise ValueError(f"training process {rank} ended with status {code}")


def _worker(run: Callable[[World], None], rank: int, size: int, folder: str) -> None:
    heed()
    Path(folder, f"up-{rank:04d}").touch()
    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
        try:
            dist.barrier()  # one that has nothing to do must not hang up while another is still connecting
            run(World(rank, size))
        finally:
            dist.destroy_process_group()
    except Exception as error:
        expected = isinstance(error, ValueError | OSError)
        if out_of_memory(error):
            expected, error = True, ValueError(f"memory ran out: fewer residues a batch (tokens=) take less ({error})")
        reason = {"expected": expected, "text": str(error) if expected else traceback.format_exc()}
        Path(folder, f"error-{rank:04d}").write_text(json.dumps(reason), encoding="utf-8")
        os._exit(1)  # without waiting for the others, which may be waiting for this one
    unheeded()


def _follow_parent() -> None:
    parent = parent_process()
    if parent is None:
        return
    connection.wait([parent.sentinel])
    if not dist.is_initialized():
        os._exit(1)  # waiting for others that may never have been started
    os.kill(os.getpid(), signal.SIGTERM)
