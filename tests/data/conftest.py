"""Small datasets and example structures for the tests of protgm.data."""

from __future__ import annotations

import gzip
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from protgm.data import Dataset, prepare
from protgm.data.schema import FORMAT, INDEX_FILE, SCHEMA, VERSION
from protgm.files import write_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def examples() -> Path:
    """The example structures of the repository."""
    return ROOT / "data" / "examples"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Native structures beside the repository; tests that want them are skipped where they are not."""
    folder = ROOT.parent / "shared"
    if not (folder / "raw").is_dir() or not (folder / "pdb").is_dir():
        pytest.skip("no native structures beside the repository")
    return folder


@pytest.fixture(scope="session")
def prepared(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example structures as a dataset. Not to be written to."""
    out = tmp_path_factory.mktemp("prepared") / "dataset"
    prepare(examples, out, workers=1, progress=False)
    return out


@pytest.fixture
def few(examples: Path, tmp_path: Path) -> Path:
    """A source folder of three PDB files, without a manifest."""
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("1CSP_A", "1POH_A", "2TRX_A"):
        shutil.copy(examples / f"{name}.pdb.gz", folder)
    return folder


def random_walk(length: int, rng: np.random.Generator) -> np.ndarray:
    """Backbone-like coordinates, shape (length, 4, 3), Angstrom: rigid residues at the steps of a random walk."""
    ca = np.cumsum(rng.normal(size=(length, 3)) * 2.2, axis=0)
    shape = np.array([[-1.46, 0.0, 0.0], [0.0, 0.0, 0.0], [0.55, 1.42, 0.0], [1.6, 1.8, 0.5]])
    turn = np.linalg.qr(rng.normal(size=(length, 3, 3)))[0]
    turn *= np.linalg.det(turn)[:, None, None]
    return (ca[:, None] + np.einsum("lij,aj->lai", turn, shape)).astype(np.float32)


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Dataset]:
    """A function that writes and opens a dataset of made-up chains, given their lengths and clusters."""

    def make(lengths: Sequence[int], clusters: Sequence[str], per_batch: int = 7) -> Dataset:
        rng = np.random.default_rng(0)
        rows = [
            {
                "name": f"chain{i}",
                "source": f"chain{i}.pdb",
                "pdb_id": "",
                "chain": "A",
                "length": length,
                "cluster": cluster,
                "split": "train",
                "coords": random_walk(length, rng).reshape(-1),
                "sequence": "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length)),
                "residue_numbers": np.arange(1, length + 1),
                "insertion_codes": " " * length,
                "residue_index": np.arange(length),
                "chain_index": np.zeros(length, dtype=int),
                "chain_breaks": np.arange(length) == length - 1,
                "secondary": "".join(rng.choice(list("HEC"), length)),
                "helix": 0.3,
                "strand": 0.3,
                "rg": 10.0,
                "rg_ratio": 1.0,
                "resolution": None,
            }
            for i, (length, cluster) in enumerate(zip(lengths, clusters, strict=True))
        ]
        folder = tmp_path_factory.mktemp("made")
        path = folder / "structures.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
            for start in range(0, len(rows), per_batch):
                writer.write_batch(pa.RecordBatch.from_pylist(rows[start : start + per_batch], schema=SCHEMA))
        info = {"format": FORMAT, "version": VERSION, "structures": path.name, "bytes": path.stat().st_size}
        write_json(folder / INDEX_FILE, info)
        return Dataset.open(folder)

    return make


class Server(ThreadingHTTPServer):
    """Serves ``bodies`` by name; ``faults[name]`` is what goes wrong, one word an answer, before it serves at last."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.release = threading.Event()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is nothing to print."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        server, name = self.server, self.path.strip("/")
        with server.lock:
            server.asked[name] += 1
            server.now += 1
            server.most = max(server.most, server.now)
            fault = server.faults[name].pop(0) if server.faults.get(name) else ""
        try:
            self.answer(server.bodies.get(name), fault)
        finally:
            with server.lock:
                server.now -= 1

    def answer(self, body: bytes | None, fault: str) -> None:
        if fault.isdigit():
            self.send_response(int(fault))
            if fault == "429":
                self.send_header("Retry-After", "0")
            self.end_headers()
            return
        if fault == "hangup":
            self.close_connection = True
            return
        if body is None:
            self.send_error(404)
            return
        sent = {
            "": body,
            "slow": body,
            "stall": body[: len(body) // 2],
            "short": body[: len(body) // 2],
            "half": body[: len(body) // 2],
            "flip": body[:-8] + bytes([body[-8] ^ 1]) + body[-7:],
            "page": b"<html>come back later</html>",
        }[fault]
        self.send_response(200)
        if fault != "half":  # of unknown length: only the gzip stream tells that it is not whole
            self.send_header("Content-Length", str(len(body) if fault in ("stall", "short") else len(sent)))
        self.end_headers()
        if fault == "slow":
            time.sleep(0.05)
        self.wfile.write(sent)
        self.wfile.flush()
        if fault == "stall":
            self.server.release.wait(20)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


def body(number: int) -> bytes:
    return gzip.compress(f"data_{number}\n".encode() * 500, mtime=0)


@pytest.fixture
def ids(server, tmp_path) -> Path:
    """Twelve entries that the server has."""
    codes = [f"{i}ab{chr(97 + i % 3)}" for i in range(1, 10)] + ["1xyz", "2xyz", "pdb_00001abc"]
    for number, code in enumerate(codes):
        server.bodies[f"{code}.bcif.gz"] = body(number)
    path = tmp_path / "ids.txt"
    path.write_text("# twelve\n" + ", ".join(codes[:6]).upper() + "\n" + "\n".join(codes[6:]) + "\n1xyz # again\n")
    return path
