"""Eight CPU devices, programs compiled once, and a tiny bundle to try."""

import gc
import os
import pathlib
import sys
import time
from importlib.metadata import version

_ARGUMENTS = " ".join(sys.argv)
# `pytest -m gpu -n 0` runs on what JAX finds, with its own flags.
if "-m gpu" not in _ARGUMENTS:
  os.environ.setdefault("JAX_PLATFORMS", "cpu")
  _FLAGS = ["--xla_force_host_platform_device_count=8"]
  # `pytest -m optimized -n 0` compiles as users do.
  if "-m optimized" not in _ARGUMENTS:
    # Programs compile three times as fast so, and most tests are compilation.
    _FLAGS += [
      "--xla_backend_optimization_level=0",
      "--xla_cpu_parallel_codegen_split_count=1",
    ]
    # Gone since 0.11, which ends a process whose flags it does not know.
    if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
      _FLAGS.append("--xla_cpu_use_fusion_emitters=false")
  os.environ["XLA_FLAGS"] = " ".join([*_FLAGS, os.environ.get("XLA_FLAGS", "")])

import hypothesis  # noqa: E402
import jax  # noqa: E402 (it reads the flags when it starts)
import numpy as np  # noqa: E402
import pytest  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]

# A busy machine is no failure; what CI draws can be drawn again.
hypothesis.settings.register_profile(
  "tests", deadline=None, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("tests")


def pytest_report_header():
  return f"XLA_FLAGS: {os.environ.get('XLA_FLAGS', '')}"


@pytest.fixture(scope="session", autouse=True)
def _compilation_cache(tmp_path_factory):
  """Cold at the start; shared by xdist's workers and by subprocesses."""
  folder = tmp_path_factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    folder = folder.parent
  folder = folder / "compiled"
  with pytest.MonkeyPatch.context() as patch:
    for name, value in (
      ("jax_compilation_cache_dir", str(folder)),
      ("jax_persistent_cache_min_compile_time_secs", 0),
    ):
      patch.setenv(name.upper(), str(value))
      jax.config.update(name, value)
    yield


@pytest.fixture(scope="session", autouse=True)
def _quick_end():
  """Leaves little to the collections of garbage at pytest's end.

  JAX keeps much, and pytest-xdist sends SIGINT to a worker that takes more
  than five seconds to end.
  """
  yield
  gc.freeze()


@pytest.fixture
def compilations():
  """Seconds that every compilation takes from here on."""
  seconds = []

  def on_event(event, duration, **_):
    if event == "/jax/core/compile/backend_compile_duration":
      seconds.append(duration)

  jax.monitoring.register_event_duration_secs_listener(on_event)
  yield seconds
  jax.monitoring.unregister_event_duration_listener(on_event)


@pytest.fixture
def user_error(capsys):
  """Runs a command that must fail as bad input does; gives the message."""
  from siren_jax.cli.main import main

  def run(argv) -> str:
    capsys.readouterr()
    status = main([str(a) for a in argv])
    last = capsys.readouterr().err.splitlines()[-1:]
    assert status == 2, (argv, last)
    assert last[0].startswith("siren-jax: error: "), last
    return last[0].removeprefix("siren-jax: error: ")

  return run


@pytest.fixture(scope="session")
def tiny_model():
  """A bundle of random parts, of the sizes in configs/tiny*.py."""
  from siren_jax import clap, codec, sampling
  from siren_jax.clap import tokenizer
  from siren_jax.experiments import config_files, kinds
  from siren_jax.weights import bundle

  rng = np.random.default_rng(2)

  # The spread is large where another prompt has to make another sound.
  def part(name, spread):
    path = ROOT / "configs" / f"{name}.py"
    experiment = config_files.from_file(str(path))
    kind = kinds.KINDS[kinds.kind_of(experiment)]
    params = jax.tree.map(
      lambda x: rng.normal(0, spread, x.shape).astype(x.dtype),
      kind.shapes(experiment),
    )
    return getattr(experiment, kind.subpackage), params

  codec_config, codec_params = part("tiny_codec", 0.1)
  clap_config, clap_params = part("tiny_clap", 3.0)
  config, params = part("tiny", 1.0)
  tables = codec.embedding_tables(codec_params)
  params["frozen"] = jax.tree_util.tree_map_with_path(
    lambda path, x: np.broadcast_to(tables[path[-1].key], x.shape),
    params["frozen"],
  )
  words = ["a dog barking", "rain on a tin roof", "two short beeps"]
  words_tokenizer = tokenizer.train(words, clap_config.text.vocab_size)
  return bundle.Bundle(
    name="tiny",
    codec=codec.Codec(codec_config, codec_params),
    clap=clap.Clap(clap_config, clap_params, words_tokenizer),
    config=config,
    params=params,
    sampling=sampling.SamplingConfig(),
    max_seconds=2.0,
    candidates=1,
  )


@pytest.fixture(scope="session")
def tiny_bundle(tiny_model, tmp_path_factory):
  """Folder of `tiny_model`, saved; look, do not touch."""
  from siren_jax.weights import bundle

  folder = tmp_path_factory.mktemp("bundles") / "tiny"
  bundle.save(folder, tiny_model, "# tiny\n")
  return folder


@pytest.fixture(scope="session")
def clap_config():
  """A CLAP small enough to try in milliseconds."""
  from siren_jax import clap

  return clap.ClapConfig(
    text=clap.TextConfig(
      vocab_size=120,
      word_width=6,
      width=16,
      layers=2,
      heads=2,
      mlp_width=24,
      max_tokens=12,
    ),
    audio=clap.AudioConfig(
      window=128,
      hop=64,
      num_mels=16,
      patch=2,
      widths=(8, 12),
      blocks=(1, 1),
      heads=2,
    ),
    embed_dim=10,
  )


@pytest.fixture(
  params=[
    pytest.param(dict(data=8), marks=pytest.mark.long),
    pytest.param(dict(expert=8), marks=pytest.mark.long),
    pytest.param(dict(fsdp=8), marks=pytest.mark.long),
    pytest.param(dict(model=8), marks=pytest.mark.long),
    dict(data=2, expert=2, model=2),
    dict(expert=2, fsdp=2, model=2),
  ],
  ids=str,
)
def mesh(request):
  """Eight devices along every axis alone, and along several."""
  from siren_jax.common import mesh as meshes

  sizes = meshes.MeshConfig(**request.param)
  return meshes.make_mesh(sizes, jax.devices()[:8])


@pytest.fixture(scope="session")
def moved():
  """Elements of each array that devices hand to each other in a program.

  Given its text; and how often it has to happen, in loops, to count.
  """
  from siren_jax.scaling import hlo

  def moved(text: str, at_least: int = 1) -> list[int]:
    return [
      array.size
      for times, _, instruction in hlo.Program(text).collectives()
      for array in instruction.results
      if times >= at_least
    ]

  return moved


@pytest.fixture(scope="session")
def finished_step():
  """Newest whole checkpoint of a work directory, 0 for none."""

  def finished_step(workdir: pathlib.Path) -> int:
    folder = workdir / "checkpoints"
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    return max([int(n) for n in names if n.isdigit()], default=0)

  return finished_step


@pytest.fixture(scope="session")
def wait_for():
  """Until it holds, the process ends, or far too much time has passed."""

  def wait_for(condition, process) -> None:
    deadline = time.monotonic() + 300
    while process.poll() is None and not condition():
      assert time.monotonic() < deadline, "nothing happened in five minutes"
      time.sleep(0.01)

  return wait_for
