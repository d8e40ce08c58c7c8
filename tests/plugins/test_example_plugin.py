"""The example plugin in a fresh environment: pip install, use, pip uninstall."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "plugins" / "example-sine-schedule"
POLICY = """
version = 1
plugins = ["example-sine-schedule"]
[schedule]
kind = "sine"
final_sparsity = 0.75
end_step = 2
frequency = 1
power = 2
"""
IN_NUMPY = """
import numpy as np, secateur
w = np.arange(1.0, 33.0, dtype="float32").reshape(4, 8)
pruner = secateur.attach({"fc": w}, "policy.toml")
for _ in range(2): pruner.step()
print(secateur.__file__, w.ravel().nonzero()[0].tolist())
"""
IN_TORCH = """
import torch, secateur
net = torch.nn.Linear(8, 4, bias=False)
net.weight.data = torch.arange(1.0, 33.0).reshape(4, 8)
optimizer = torch.optim.SGD(net.parameters(), lr=0)
secateur.attach(net, "policy.toml", optimizer=optimizer)
for _ in range(2):
    net(torch.ones(1, 8)).sum().backward(); optimizer.step()
print(secateur.__file__, net.weight.detach().ravel().nonzero().ravel().tolist())
"""
IN_KERAS = """
import numpy as np, keras, secateur
net = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, use_bias=False)])
net.set_weights([np.arange(1.0, 33.0).reshape(4, 8).T])
net.compile(keras.optimizers.SGD(0.0), "mse")
pruner = secateur.attach(net, "policy.toml")
net.fit(np.ones((2, 8)), np.ones((2, 4)), batch_size=1, verbose=0, callbacks=[pruner.callback()])
print(secateur.__file__, np.asarray(net.get_weights()[0]).T.ravel().nonzero()[0].tolist())
"""


class Environment:
    """A virtual environment that sees the frameworks of this one, and is otherwise empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv")
        self.python = folder / "venv" / "bin" / "python"
        site = self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        # A .pth inside a folder that is added by a .pth is not read, so our own editable
        # install stays out of sight.
        (Path(site) / "frameworks.pth").write_text(sysconfig.get_path("purelib"))
        (folder / "policy.toml").write_text(POLICY)

    def run(self, *words: object, fails: bool = False) -> str:
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        env |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        done = subprocess.run(
            [self.python, *map(str, words)],
            cwd=self.folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def pip(self, *words: object) -> None:
        pip = [sys.executable, "-m", "pip", "--python", self.python, *words]
        subprocess.run([*map(str, pip), "--quiet"], check=True)

    def install(self, *folders: Path) -> None:
        options = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed")
        self.pip("install", *options, *folders)


@pytest.mark.slow
@pytest.mark.framework
def test_installed_it_works_in_every_framework_and_uninstalled_the_policy_says_so(tmp_path):
    fresh = Environment(tmp_path)
    fresh.install(ROOT, EXAMPLE)
    cli = ("-c", "from secateur.cli import main; main()")
    listed = " ".join(fresh.run(*cli, "plugins").split())
    assert "schedule: sine; criterion: steady_sign; observer" in listed
    assert "transformer-2to4" in fresh.run(*cli, "policies")
    dumped = "import secateur as s; s.Policy.load('bare.toml').dump('d.toml')"
    (tmp_path / "bare.toml").write_text(POLICY.replace("plugins = ", "# "))
    fresh.run("-c", dumped)
    assert 'plugins = ["example-sine-schedule"]' in (tmp_path / "d.toml").read_text()
    kept = set()
    for code in (IN_NUMPY, IN_TORCH, IN_KERAS):
        package, _, places = fresh.run("-c", code).strip().partition(" ")
        assert Path(package).is_relative_to(tmp_path)
        kept.add(places)
    assert kept == {str(list(range(24, 32)))}
    tests = ("-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLE, "-c")
    assert "8 passed" in fresh.run(*tests, EXAMPLE / "pyproject.toml")

    fresh.pip("uninstall", "--yes", "example-sine-schedule")
    error = fresh.run(*cli, "plan", "policy.toml", "model.npz", fails=True)
    assert "the policy needs the plugin 'example-sine-schedule', which is missing" in error
    assert "pip install example-sine-schedule" in error
    assert "no schedule 'sine'" in error
    assert "There are: ac_dc, constant, cosine, exponential, keep_zeros, linear" in error
