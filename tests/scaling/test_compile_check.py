"""What would run on a pod or a GPU, compiled on a machine without one."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from siren_jax.common.errors import UserError
from siren_jax.scaling import chips, gpus, programs

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


def test_names_of_gpus_give_cards_and_how_many():
  one = chips.topology("h100:1")
  assert (one.platform, one.count, one.chip.generation) == ("gpu", 1, 9)
  eight = chips.topology("b200:8")
  assert (eight.count, eight.bandwidth) == (8, 900e9)
  assert chips.topology("v5e:4x4").platform == "tpu"
  for name in ("h100", "h100:0", "h100:9", "h100:2x2", "h300:1"):
    with pytest.raises(UserError, match="or GPU:N with up to 8 in one machine"):
      chips.topology(name)


@pytest.mark.parametrize("name, gpu", gpus.GPUS.items())
def test_the_compiler_is_told_the_limits_of_a_card(name, gpu):
  said = dict(re.findall(r"(\w+): (\S+)", gpu.target))
  assert int(said["device_memory_size"]) == gpu.memory
  assert int(said["memory_bandwidth"]) == gpu.bandwidth
  assert int(said["core_count"]) == gpu.cores
  assert gpu.target.count("{") == gpu.target.count("}") == 3
  assert name.upper() in gpu.title


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
  assert "is not a Stage 1 config" in message


@pytest.mark.parametrize(
  "topology, modules, remedy",
  [
    ("v5e:2x2", ["libtpu"], "pip install 'siren-jax[tpu]'"),
    (
      "h100:1",
      ["jax_plugins", "jax_cuda12_plugin", "jax_cuda13_plugin"],
      "pip install 'siren-jax[cuda12]' or 'siren-jax[cuda13]'",
    ),
  ],
)
def test_without_the_compiler_the_remedy_is_named(topology, modules, remedy):
  program = (
    # As if they were not there.
    f"import sys; sys.modules |= dict.fromkeys({modules})\n"
    "from siren_jax.cli.main import main; sys.exit(main(sys.argv[1:]))"
  )
  command = (
    "compile-check",
    "--config=configs/tiny.py",
    f"--topology={topology}",
  )
  done = subprocess.run(
    [sys.executable, "-c", program, *command],
    cwd=ROOT,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert done.returncode == 2, done.stderr
  message = done.stderr.splitlines()[-1]
  assert message.startswith(f"siren-jax: error: topology {topology}: ")
  assert remedy in message


def check(*arguments, topology="v5e:2x2"):
  return subprocess.run(
    [
      *(sys.executable, "-m", "siren_jax", "compile-check", "--effort=-1"),
      *("--config=configs/tiny.py", f"--topology={topology}", *arguments),
    ],
    cwd=ROOT,
    env=os.environ | {"XLA_FLAGS": ""},
    capture_output=True,
    text=True,
  )


@pytest.mark.tpu
@pytest.mark.parametrize("task", programs.TASKS)
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
  assert "batch of 6 cannot be split evenly over 4 devices" in done.stderr


@pytest.mark.tpu
def test_too_little_memory_is_reported_with_a_remedy():
  done = check("--config.train.batch_size=40000", "--frames=2000")
  assert done.returncode == 1, done.stdout
  assert "not fit" in done.stdout
  assert "accumulate" in done.stdout


@pytest.mark.cuda
@pytest.mark.parametrize("task", programs.TASKS)
def test_every_task_compiles_for_a_gpu(task):
  batch = "--batch=8"  # one prompt to align
  done = check(f"--task={task}", "--frames=20", batch, topology="h100:1")
  assert done.returncode == 0, done.stdout + done.stderr
  assert "it fits" in done.stdout
  part = {"sample": "frame", "sounds": "run"}.get(task, "step")
  assert f"a {part}:" in done.stdout


@pytest.mark.cuda
@pytest.mark.parametrize("gpu", gpus.GPUS)
def test_a_frame_of_every_gpu_reads_its_weights_once(gpu):
  arguments = "--task=sample", "--frames=20", "--batch=1", "--dtype=bfloat16"
  done = check(*arguments, topology=f"{gpu}:1")
  assert done.returncode == 0, done.stdout + done.stderr
  megabytes = 1e3 * float(re.search(r"([\d.]+) GB read", done.stdout)[1])
  assert 0 < megabytes < 20
  assert "in CUDA graphs" in done.stdout


@pytest.mark.cuda
def test_a_step_is_shared_out_over_gpus():
  sizes = ("--config.mesh.expert=2", "--config.mesh.data=2")
  done = check("--frames=20", "--batch=8", *sizes, topology="h100:4")
  assert done.returncode == 0, done.stdout + done.stderr
  assert "all-reduce among 2" in done.stdout
