"""Training as `accelerate launch` runs it: two processes on one machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from finephys.training.loop import STATE

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np, torch
from torch import nn
from finephys.data import rendered
from finephys.training.loop import LoopSettings, Task, train
from finephys.types import WorldMotion

folder, draws = Path(sys.argv[1]), []
body = np.random.default_rng(0).uniform(0, 1, (1, 17, 3)).astype(np.float32).repeat(60, 0)
motion = WorldMotion(body, 30.0, np.zeros(60, np.bool_), None, "standing")
rendered.SHARD = 1
rendered.render_dataset([motion], 2, 3, folder / "clips", size=16)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(3, 1), nn.Linear(3, 1)

    def predict(self, x):
        return self.used(x)  # not forward: what a wrapper of the model alone would miss

def draw(step):
    draws.append(step.draw)
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(step.draw))

def losses(model, x, step):
    return {"total": (model.predict(x) - x.sum(1, keepdim=True)).square().mean()}

torch.manual_seed(0)
model, saved = Model(), []
settings = LoopSettings(steps=3, learning_rate=0.1, log_every=1)
train(Task(model, draw, losses, lambda *_: saved.append(1)), settings, folder / "run")
made = {"draws": draws, "weight": model.used.weight.tolist(), "saved": len(saved)}
(folder / f"{min(draws)}.json").write_text(json.dumps(made))
"""


@pytest.mark.slow
def test_two_processes_train_one_model_on_different_batches(tmp_path: Path) -> None:
    """Catches processes that draw the same, learn apart, log twice or write one file at once."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # What `accelerate launch --num_processes 2` starts on a machine with two GPUs.
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*launch, str(script), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"{n}.json").read_text()) for n in range(2))
    assert (first["draws"], second["draws"]) == ([0, 2, 4], [1, 3, 5])
    np.testing.assert_array_equal(first["weight"], second["weight"])
    assert (first["saved"], second["saved"]) == (1, 0)
    rows = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3]
    assert (tmp_path / "run" / STATE).is_file()
    assert len(list((tmp_path / "clips").glob("*.npz"))) == 2
