"""clax-models beside our click models: in an environment of its own, as its jax and ours of everything else differ."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from eval.benchmarks.reference_log import PAIRS
from eval.benchmarks.timing import say
from ranking.clicks.sessions import Floats, Sessions

PINS: Final = ("clax-models==0.1.1", "jax==0.7.2", "jaxlib==0.7.2", "torch==2.13.0")
"""clax-models takes any jax, and works with none that is newer."""

SCRIPT: Final = '''
import inspect, json, sys, time
import numpy as np
import optax
from flax import nnx
from clax.metrics import LogLikelihood
from clax.models import dbn, pbm, ubm
from clax.trainer import Trainer

folder, name = sys.argv[1:]
data = np.load(folder + "/log.npz")

class Pages:
    """Batches of arrays, which is the fastest way to feed it."""
    def __init__(self, part, size=4096, shuffle=False):
        self.pair, self.clicks = data[part + "_pair"] + 1, data[part + "_clicks"].astype(np.float32)
        self.size, self.shuffle, self.rng = size, shuffle, np.random.default_rng(0)
    def __len__(self):
        return -(-len(self.pair) // self.size)
    def __iter__(self):
        order = self.rng.permutation(len(self.pair)) if self.shuffle else np.arange(len(self.pair))
        n, r = self.pair.shape
        for start in range(0, n, self.size):
            rows = order[start:start + self.size]
            shape = (len(rows), r)
            yield {"query_doc_ids": self.pair[rows], "clicks": self.clicks[rows],
                   "positions": np.broadcast_to(np.arange(1, r + 1), shape), "mask": np.ones(shape, dtype=bool)}

kind = {"pbm": pbm.PositionBasedModel, "ubm": ubm.UserBrowsingModel, "dbn": dbn.DynamicBayesianNetwork}[name]
pairs = int(data["pairs"])
sizes = {"positions": 10, "query_doc_pairs": pairs + 1}
start = time.perf_counter()
model = kind(**{k: v for k, v in sizes.items() if k in inspect.signature(kind.__init__).parameters}, rngs=nnx.Rngs(0))
trainer = Trainer(optimizer=optax.adamw(0.01), epochs=50)
trainer.train(model, Pages("training", shuffle=True), Pages("choice"), {"log_likelihood": LogLikelihood()})
seconds = time.perf_counter() - start

model.eval()
every = {"query_doc_ids": np.arange(1, pairs + 1).reshape(-1, 10)}
attraction = np.asarray(model.attraction.prob(every), dtype=np.float64).ravel()
total = 0.0
test = Pages("test")
for batch in test:
    chance = np.clip(np.exp(np.asarray(model.predict_conditional_clicks(batch), dtype=np.float64)), 1e-6, 1 - 1e-6)
    total += np.log(np.where(batch["clicks"] > 0, chance, 1 - chance)).sum()
np.save(folder + "/attraction.npy", attraction)
print(json.dumps({"seconds": seconds, "log_likelihood": total / test.clicks.size}))
'''


@dataclass(frozen=True, slots=True)
class Peer:
    """What clax-models made of a log: the seconds of its fit, its mean log-likelihood of a click or none on the test
    pages, and its attraction of every pair."""

    seconds: float
    log_likelihood: float
    attraction: Floats


def environment(folder: Path) -> Path:
    """The interpreter of an environment in a folder that has clax-models; made with venv and pip if it is not there."""
    python = folder / "bin" / "python"
    there = [str(python), "-c", "import clax"]
    if not python.exists() or subprocess.run(there, capture_output=True, check=False).returncode:
        say(f"installing {', '.join(PINS)} into {folder}")
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS]
        if subprocess.run(install, stdout=sys.stderr, check=False).returncode:
            sys.exit(f"clax-models could not be installed into {folder}.")
    return python


def fit(python: Path, user: str, training: Sessions, choice: Sessions, test: Sessions) -> Peer:
    """Its fit of a user's model, compiling included: AdamW with learning rate 0.01 and batches of 4,096, which was the
    fastest of three settings, and one measure for stopping, so that it is not timed for measures nobody reads."""
    parts = {"training": training, "choice": choice, "test": test}
    arrays = {f"{name}_{what}": getattr(part, what) for name, part in parts.items() for what in ("pair", "clicks")}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "log.npz", pairs=PAIRS, **arrays)
        done = subprocess.run([str(python), "-c", SCRIPT, folder, user], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"clax-models failed:\n{done.stderr[-2000:]}")
        attraction: Floats = np.load(Path(folder) / "attraction.npy")
    found = json.loads(done.stdout.splitlines()[-1])
    return Peer(found["seconds"], found["log_likelihood"], attraction)
