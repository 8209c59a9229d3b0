"""The script and the command of the guide, as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "book" / "reference" / "training.md"


def test_the_script_trains_in_two_processes_and_its_weights_load(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    script, loading = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    (tmp_path / "train_digits.py").write_text(script, encoding="utf-8")
    assert "OMP_NUM_THREADS=1 torchrun --nproc-per-node=2 train_digits.py" in text
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train_digits.py"]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert run.returncode == 0, run.stderr[-3000:]
    lines = run.stdout.strip().splitlines()
    assert lines[0].split() == ["epoch", "loss", "train", "test"]
    assert len(lines) == 1 + 8 + 1, "printed once, not once a process"
    losses = [float(line.split()[1]) for line in lines[1:9]]
    assert losses[-1] < losses[0] / 2
    state = re.search(r"runs/digits/step-\d+", loading).group()
    assert [str(p.relative_to(tmp_path)) for p in (tmp_path / "runs" / "digits").iterdir()] == [state]
    for name in ("model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl", "run.json"):
        assert (tmp_path / state / name).exists(), name
        assert f"`{name}`".replace("_0.", "_<process>.") in text

    from safetensors.torch import load_file

    shapes = {name: tuple(value.shape) for name, value in load_file(tmp_path / state / "model.safetensors").items()}
    assert shapes["6.weight"] == (10, 32)
