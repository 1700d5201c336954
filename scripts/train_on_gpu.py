"""Train for some minutes on one GPU, with everything that is needed in the checkout and one dataset file.

python scripts/train_on_gpu.py data=dataset.tar.xz out=OUT minutes=25 [from=OUT] [key=value ...]

``data`` is a folder of `protgm prepare`, or a tar of one (``tar cJf dataset.tar.xz -C dataset .``). Other words go to
`protgm train`, over what a GPU wants: bfloat16, compiled blocks, 16,384 residues a step. Every minute, and at the end,
OUT gets what a run goes on from, in half precision and below 16 MB a file: ``weights.safetensors`` (the averaged ones,
for `protgm sample checkpoint=`), ``model.safetensors``, ``optimizer.safetensors`` and ``state.json``. Given ``from``, a
folder that holds these, the run goes on from them; with the weights alone, it begins with them. Without a GPU the same
happens on the processor.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from protgm.files import atomic, sha256
from protgm.train.checkpoint import latest_checkpoint
from protgm.weights import BUNDLED, load_model, save_weights

#: What a GPU wants; words of the command line go over it.
GPU = {"precision": "bf16", "compile": "true", "tokens": "16384", "max_length": "256", "checkpoint_minutes": "1"}
LARGEST = 16 * 10**6  # bytes
STATE = ("model.safetensors", "optimizer.safetensors")


def unpacked(data: Path, work: Path) -> Path:
    """The dataset's folder."""
    if data.is_dir():
        return data
    with tarfile.open(data) as archive:
        archive.extractall(work / "dataset", filter="data")
    return work / "dataset"


def export(run: Path, out: Path) -> None:
    """Copy a run's newest checkpoint, each file at once and small enough to travel."""
    newest = latest_checkpoint(run)
    if newest is None or not (run / "weights.safetensors").is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    model, process, card = load_model(run)
    save_weights(out / "weights.safetensors", model, card, process=process, half=True)
    for name in STATE:
        # Counts stay as they are; squared gradients are smaller than float16 can be.
        kind = torch.float16 if name == "model.safetensors" else torch.bfloat16
        small = {k: v if v.dim() == 0 else v.to(kind) for k, v in load_file(newest / name).items()}
        with atomic(out / name) as path:
            save_file(small, path)
    state = json.loads((newest / "state.json").read_text(encoding="utf-8"))
    with atomic(out / "state.json") as path:
        Path(path).write_text(json.dumps(state), encoding="utf-8")
    for path in out.iterdir():
        if path.stat().st_size > LARGEST:
            print(f"{path}: {path.stat().st_size:,} bytes, more than {LARGEST:,}", file=sys.stderr)


def restore(before: Path, run: Path) -> bool:
    """Make a run of an exported state; whether there was one."""
    if not all((before / name).is_file() for name in ("state.json", *STATE)):
        return False
    state = json.loads((before / "state.json").read_text(encoding="utf-8"))
    folder = run / "checkpoints" / f"step-{int(state['step']):08d}"
    folder.mkdir(parents=True)
    for name in (*STATE, "weights.safetensors"):
        whole = {k: v.float() for k, v in load_file(before / name).items()}
        save_file(whole, folder / ("ema.safetensors" if name == "weights.safetensors" else name))
    state["sha256"] = {path.name: sha256(path) for path in folder.glob("*.safetensors")}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    return True


def main(arguments: Sequence[str]) -> int:
    """Train, exporting every minute."""
    words = dict(argument.partition("=")[::2] for argument in arguments)
    missing = [key for key in ("data", "out", "minutes") if not words.get(key)]
    if missing:
        raise SystemExit(f"{', '.join(f'{key}=' for key in missing)} must be given\n\n{__doc__}")
    out, minutes, before = Path(words.pop("out")), float(words.pop("minutes")), words.pop("from", "")
    with tempfile.TemporaryDirectory() as folder:
        work, run = Path(folder), Path(folder, "run")
        data, seconds = unpacked(Path(words.pop("data")), work), 0.0
        if before and restore(Path(before), run):
            seconds = float(json.loads((Path(before) / "state.json").read_text(encoding="utf-8"))["seconds"])
        elif "init" not in words:
            given = Path(before, "weights.safetensors") if before else BUNDLED
            words["init"] = str(given if given.is_file() else BUNDLED)
        gpu = GPU if torch.cuda.is_available() else {"checkpoint_minutes": "1"}
        asked = {**gpu, **words, "data": str(data), "out": str(run), "hours": f"{seconds / 3600 + minutes / 60:.6f}"}
        process = subprocess.Popen([sys.executable, "-m", "protgm", "train", *(f"{k}={v}" for k, v in asked.items())])
        told = time.monotonic()
        while process.poll() is None:
            time.sleep(1)
            if time.monotonic() - told > 60:
                export(run, out)
                told = time.monotonic()
        export(run, out)
        return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
