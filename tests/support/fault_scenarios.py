"""What the package writes, each as an old state and a call that makes the new one, for support/faults.py."""

import contextlib
import hashlib
import io
import tarfile
import warnings
from pathlib import Path
from typing import Any

import torch
from support.data_sets import two_classes
from support.faults import Scenario
from torch import nn

from convnotes import plots, train
from convnotes.bench.start import Start
from convnotes.data import download
from convnotes.designs import __main__ as command
from convnotes.designs import measured
from convnotes.designs.table import Row
from convnotes.measure.rows import Rows
from convnotes.train.runtime import make_accelerator

torch.set_num_threads(1)
ROWS = [Start("first call", op, 0.5, 0.25, 1.0, 3, "a machine", "") for op in ("adder", "shift", "depthwise")]
AXES = plots.panel(1, 1)
plots.save(AXES)  # what matplotlib reads the first time, and what torch and accelerate import late
torch.optim.AdamW(nn.Linear(1, 1).parameters())
make_accelerator("cpu", "no", False)


def keep(folder: Path, some: list[Start]) -> list[Any]:
    rows = Rows.resume(Start, folder / "start.csv")
    rows.keep(*some)
    return [row.key for row in rows]


def figure(folder: Path) -> int:
    return len(plots.save(AXES, folder / "figure.png", dpi=72))


def fit(folder: Path, epochs: int = 2) -> Any:
    """As a script that is started again; a state that was cut is passed over with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(20, 2))
        options: dict[str, Any] = {"epochs": epochs, "batch_size": 8, "lr": 1e-2, "device": "cpu"}
        torch.manual_seed(0)
        history = train.fit(lambda: net, two_classes(), checkpoint=folder / "run", **options)
    weights = {name: value.tolist() for name, value in history.model.state_dict().items()}
    return [history.loss, history.step_loss, history.test_accuracy, weights]


def state(folder: Path) -> Any:
    """The step of the state from which a training goes on, and its files."""
    from convnotes.train.checkpoint import Checkpoints, _read

    newest = Checkpoints(folder / "run", None, {}, nn.Identity(), None).states()[0]
    return [_read(newest)["step"], sorted(path.name for path in newest.iterdir())]


def archive() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name in ("one", "two"):
            member = tarfile.TarInfo(f"set/{name}")
            member.size = 3000
            packed.addfile(member, io.BytesIO(bytes(3000)))
    return stream.getvalue()


ARCHIVE = archive()


def fetch(folder: Path) -> Any:
    """The archive comes without a network: what is tried is the unpacking and the renaming."""

    def arrived(url: str, sha256: str, made: Path, by_hand: str) -> Path:
        (made / "set.tar.gz").write_bytes(ARCHIVE)
        return made / "set.tar.gz"

    download._download = arrived
    if not (folder / "data" / "set").exists():
        sha256 = hashlib.sha256(ARCHIVE).hexdigest()
        download.fetch({"https://localhost/set.tar.gz": sha256}, folder / "data" / "set", "put it there")
    return fetched(folder)


def fetched(folder: Path) -> Any:
    made = folder / "data" / "set"
    return sorted((path.name, path.stat().st_size) for path in made.iterdir()) if made.exists() else None


def measure(folder: Path) -> Any:
    """`python -m convnotes.designs`; what it refuses with is an `OSError` here, as of the other calls."""
    measured.BUNDLED["tiny"] = lambda: two_classes()
    words = [
        "--data",
        "tiny",
        "--budget",
        "1800",
        "--design",
        "1×1 only",
        "--seeds",
        "2",
        "--epochs",
        "1",
        "--rounds",
        "1",
    ]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            command.main([*words, "--csv", str(folder / "rows.csv")])
    except SystemExit as problem:
        raise OSError(said.getvalue()) from problem
    return [(row.seeds, row.lr, row.accuracies, bool(row.timed_on)) for row in Rows.read(Row, folder / "rows.csv")]


def readable(folder: Path) -> bool:
    """Each row is as good as the last one: it may lack seeds and times."""
    return not (folder / "rows.csv").exists() or len(Rows.read(Row, folder / "rows.csv")) == 1


def careless(folder: Path) -> str:
    """What no writer of the package may do: the old file is emptied before the new one is whole."""
    (folder / "file.txt").write_text("new" * 100)
    return "written"


SCENARIOS = {
    "careless": Scenario(
        lambda folder: (folder / "file.txt").write_text("old"),
        careless,
        lambda folder: (folder / "file.txt").read_text(),
    ),
    "rows": Scenario(
        lambda folder: keep(folder, ROWS[:2]),
        lambda folder: keep(folder, ROWS[2:]),
        lambda folder: [row.key for row in Rows.read(Start, folder / "start.csv")],
    ),
    "figure": Scenario(
        lambda folder: (folder / "figure.png").write_bytes(b"old"),
        figure,
        lambda folder: hashlib.sha256((folder / "figure.png").read_bytes()).hexdigest(),
    ),
    "training": Scenario(lambda folder: fit(folder, 1), fit, state),
    "designs": Scenario(lambda folder: None, measure, readable, keeps=True),
    "download": Scenario(lambda folder: (folder / "data").mkdir(), fetch, fetched),
}
