"""What would run on a pod, compiled on a machine without one."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from siren_jax.common.errors import UserError
from siren_jax.scaling import chips

ROOT = pathlib.Path(__file__).parents[2]
HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None


def test_topologies():
  slice_ = chips.topology("v5e:4x4")
  assert slice_.count == 16
  assert slice_.bandwidth == 50e9  # its ends are not linked,
  assert chips.topology("v5e:16x16").bandwidth == 100e9  # those are
  assert chips.topology("v5p:4x4x8").bandwidth == 200e9
  for name in ("v5e", "v5e:", "v5e:4", "v9:2x2", "v5e:0x4", "v5e:4x4x"):
    with pytest.raises(UserError, match="expected CHIP:AxB"):
      chips.topology(name)


@pytest.mark.parametrize(
  "arguments, told",
  [
    (["--topology=v9:2x2"], "topology 'v9:2x2'"),
    (["--topology=v5e:2x2", "--frames=0"], "frames 0"),
    (["--topology=v5e:2x2", "--effort=2"], "effort 2"),
  ],
)
def test_bad_requests(user_error, arguments, told):
  config = f"--config={ROOT}/configs/tiny.py"
  assert told in user_error(["compile-check", config, *arguments])


def test_another_kind_of_config(user_error):
  config = f"--config={ROOT}/configs/tiny_codec.py"
  told = user_error(["compile-check", config, "--topology=v5e:2x2"])
  assert "is not a config of Stage 1" in told


@pytest.mark.skipif(HAS_LIBTPU, reason="libtpu is here")
def test_without_the_compiler(user_error):
  config = f"--config={ROOT}/configs/tiny.py"
  told = user_error(["compile-check", config, "--topology=v5e:2x2"])
  assert "pip install 'siren-jax[tpu]'" in told


def check(*arguments):
  return subprocess.run(
    [
      *(sys.executable, "-m", "siren_jax", "compile-check", "--effort=-1"),
      *("--config=configs/tiny.py", "--topology=v5e:2x2", *arguments),
    ],
    cwd=ROOT,
    env=os.environ | {"XLA_FLAGS": ""},
    stdout=subprocess.PIPE,
    text=True,
  )


@pytest.mark.skipif(not HAS_LIBTPU, reason="pip install 'siren-jax[tpu]'")
@pytest.mark.parametrize("task", ["train", "sample", "align"])
def test_tasks(task):
  sizes = ("--config.mesh.expert=2", "--config.mesh.data=2")
  done = check(f"--task={task}", "--frames=20", *sizes)
  assert done.returncode == 0, done.stdout
  assert "it fits" in done.stdout
  assert "loops of unknown length" not in done.stdout


@pytest.mark.skipif(not HAS_LIBTPU, reason="pip install 'siren-jax[tpu]'")
def test_too_much_is_told_with_a_remedy():
  done = check("--config.train.batch_size=40000", "--frames=2000")
  assert done.returncode == 1, done.stdout
  assert "not fit" in done.stdout
  assert "accumulate" in done.stdout
