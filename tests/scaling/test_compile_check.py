"""What would run on a pod, compiled on a machine without one."""

import os
import pathlib
import subprocess
import sys

import pytest

from siren_jax.common.errors import UserError
from siren_jax.scaling import chips

ROOT = pathlib.Path(__file__).parents[2]


def test_names_of_topologies_give_chips_and_bandwidth():
  slice_ = chips.topology("v5e:4x4")
  assert slice_.count == 16
  assert slice_.bandwidth == 50e9  # its ends are not linked,
  assert chips.topology("v5e:16x16").bandwidth == 100e9  # those are
  assert chips.topology("v5p:4x4x8").bandwidth == 200e9
  for name in ("v5e", "v5e:", "v5e:4", "v9:2x2", "v5e:0x4", "v5e:4x4x"):
    with pytest.raises(UserError, match="expected CHIP:AxB"):
      chips.topology(name)


@pytest.mark.parametrize(
  "arguments, message",
  [
    (["--topology=v9:2x2"], "topology 'v9:2x2'"),
    (["--topology=v5e:2x2", "--frames=0"], "frames 0"),
    (["--topology=v5e:2x2", "--effort=2"], "effort 2"),
  ],
)
def test_bad_arguments_are_refused(user_error, arguments, message):
  config = f"--config={ROOT}/configs/tiny.py"
  assert message in user_error(["compile-check", config, *arguments])


def test_a_config_of_another_stage_is_refused(user_error):
  config = f"--config={ROOT}/configs/tiny_codec.py"
  message = user_error(["compile-check", config, "--topology=v5e:2x2"])
  assert "is not a config of Stage 1" in message


def test_without_the_compiler_the_remedy_is_named():
  program = (
    "import sys; sys.modules['libtpu'] = None  # As if it were not there.\n"
    "from siren_jax.cli.main import main; sys.exit(main(sys.argv[1:]))"
  )
  arguments = "compile-check", "--config=configs/tiny.py", "--topology=v5e:2x2"
  done = subprocess.run(
    [sys.executable, "-c", program, *arguments],
    cwd=ROOT,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert done.returncode == 2, done.stderr
  message = done.stderr.splitlines()[-1]
  assert message.startswith("siren-jax: error: topology v5e:2x2: ")
  assert "pip install 'siren-jax[tpu]'" in message


def check(*arguments):
  return subprocess.run(
    [
      *(sys.executable, "-m", "siren_jax", "compile-check", "--effort=-1"),
      *("--config=configs/tiny.py", "--topology=v5e:2x2", *arguments),
    ],
    cwd=ROOT,
    env=os.environ | {"XLA_FLAGS": ""},
    capture_output=True,
    text=True,
  )


@pytest.mark.tpu
@pytest.mark.parametrize("task", ["train", "sample", "align"])
def test_every_task_compiles_for_a_slice(task):
  sizes = ("--config.mesh.expert=2", "--config.mesh.data=2")
  batch = "--config.train.batch_size=16"  # two prompts to align
  done = check(f"--task={task}", "--frames=20", batch, *sizes)
  assert done.returncode == 0, done.stdout
  assert "it fits" in done.stdout
  assert "loops of unknown length" not in done.stdout


@pytest.mark.tpu
def test_a_batch_that_does_not_divide_is_refused():
  done = check("--config.train.batch_size=6")
  assert done.returncode == 2, done.stdout
  assert "batch of 6 does not divide among the 4 devices" in done.stderr


@pytest.mark.tpu
def test_too_much_is_told_with_a_remedy():
  done = check("--config.train.batch_size=40000", "--frames=2000")
  assert done.returncode == 1, done.stdout
  assert "not fit" in done.stdout
  assert "accumulate" in done.stdout
