"""make sounds from prompts

  siren-jax generate "a dog barking" "rain on a tin roof" --num-samples 2
  siren-jax generate --prompts prompts.txt --out sounds/ --spectrogram

Every sound is a 16-bit wav with a JSON file of the same name beside it that
says how it was made. The same prompt, seed and settings give the same sound
on the same machine, alone or among others.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import shlex
import time
from collections.abc import Sequence
from typing import Any

import siren_jax
from siren_jax.cli import runtime
from siren_jax.common import files
from siren_jax.common.errors import UserError

_SETTINGS = ("temperature", "top_k", "top_p", "guidance")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("prompts", type=str, nargs="*", metavar="PROMPT", help="what to hear")
  add("--prompts", dest="file", metavar="FILE", help="prompts, one a line")
  add("--seconds", type=float, default=5.0, help="length (default: 5)")
  add("--seed", type=int, default=0, help="another seed, another sound")
  add("--num-samples", type=int, default=1, help="sounds a prompt")
  add("--candidates", type=int, help="draw so many, keep the best by CLAP")
  add("--temperature", type=float, help="below 1: safer, above: wilder")
  add("--top-k", type=int, help="draw from the k likeliest codes")
  add("--top-p", type=float, help="draw from this share of the probability")
  add("--guidance", type=float, help="pull towards the prompt, such as 3")
  add("--out", default=".", help="a .wav file, or a folder (default: here)")
  add("--spectrogram", action="store_true", help="a PNG beside every wav")
  add("--model", help="bundle folder, or the name of one that ships")
  add("--mesh", metavar="AXIS=N,...", help="all devices: data=4,expert=2")


def run(args: argparse.Namespace) -> None:
  prompts = _prompts(args)
  make(
    prompts,
    _paths(args, prompts),
    args.model,
    args.seconds,
    args.seed,
    num_samples=args.num_samples,
    candidates=args.candidates,
    spectrogram=args.spectrogram,
    mesh=_mesh(args.mesh),
    **runtime.given(args, *_SETTINGS),
  )
  print(f"try next: {_next(args, prompts)}")


def make(
  prompts: Sequence[str],
  paths: Sequence[pathlib.Path],
  model: str | None,
  seconds: float,
  seed: int,
  num_samples: int = 1,
  candidates: int | None = None,
  spectrogram: bool = False,
  mesh: Any = None,
  **settings: Any,
) -> None:
  """Writes clips, each with its JSON file, and tells what it took.

  Args:
    prompts: what to make. paths: a wav file for each sample of each.
    model: by which bundle; None is the default one.
    seconds: of each. seed: of all. spectrogram: a PNG beside each.
    mesh: of the devices that make them; None: one device.
    candidates, **settings: other than the bundle's own.
  """
  start = time.perf_counter()
  runtime.use_compilation_cache()
  import tqdm

  from siren_jax import api

  siren = api.load(model, mesh)
  candidates = siren.num_candidates(candidates)
  clips = siren.clips(
    prompts,
    seconds,
    key=seed,
    num_samples=num_samples,
    candidates=candidates,
    **settings,
  )
  clock = runtime.CompileClock()
  loaded = time.perf_counter()
  runtime.say("getting ready; new lengths and settings compile once ...")
  bar = tqdm.tqdm(clips, total=len(paths), unit="clip", disable=None)
  config = dataclasses.asdict(siren.sampling_config(**settings))
  told = {
    "seed": seed,
    "seconds": seconds,
    "sample_rate": siren.sample_rate,
    "settings": config | {"candidates": candidates},
    "model": siren.bundle.name,
    "version": siren_jax.__version__,
  }
  rows = _rows(prompts, num_samples)
  for (prompt, sample), path, audio_S in zip(rows, paths, bar, strict=True):
    known = {"prompt": prompt, "sample": sample, **told}
    _write(path, audio_S, known, spectrogram)
    bar.write(f'{path}  "{prompt}"')
  making = time.perf_counter() - loaded - clock.seconds
  print(
    f"{len(paths) * seconds:g} s of sound; took {loaded - start:.1f} s to "
    f"load, {clock.seconds:.1f} s to compile, {making:.1f} s to make"
  )


def _prompts(args: argparse.Namespace) -> list[str]:
  prompts = [p.strip() for p in args.prompts]
  if not all(prompts):
    raise UserError(
      'a prompt is empty; describe a sound: siren-jax generate "a dog barking"'
    )
  if args.file:
    prompts += files.read_lines(args.file)
  if not prompts:
    raise UserError(
      'no prompt; describe a sound: siren-jax generate "a dog barking"'
    )
  return prompts


def _mesh(text: str | None) -> Any:
  """The MeshConfig that `data=4,expert=2` says; None: none is asked for."""
  if text is None:
    return None
  from siren_jax.common import mesh

  sizes = {}
  for word in text.split(","):
    axis, _, size = word.strip().partition("=")
    if (
      axis not in mesh.AXES or axis in sizes or not re.fullmatch(r"-?\d+", size)
    ):
      raise UserError(
        f"--mesh {text}: {word!r} is not an axis and its number of devices;"
        f" the axes are {', '.join(mesh.AXES)}, as in data=4,expert=2"
      )
    sizes[axis] = int(size)
  return mesh.MeshConfig(**sizes)


def _rows(prompts: Sequence[str], samples: int) -> list[tuple[str, int]]:
  return [(prompt, i) for prompt in prompts for i in range(samples)]


def _paths(args: argparse.Namespace, prompts: list[str]) -> list[pathlib.Path]:
  """Every clip's own file; tells what cannot be written beforehand."""
  rows = _rows(prompts, args.num_samples)
  if args.out.lower().endswith(".wav"):
    if len(rows) > 1:
      raise UserError(
        f"--out {args.out} is one file for {len(rows)} sounds; name a folder"
      )
    return [runtime.check_file(args.out, ".wav") for _ in rows]
  return names(runtime.check_folder(args.out), rows, args.seed)


def names(
  folder: pathlib.Path, rows: Sequence[tuple[str, int]], seed: int
) -> list[pathlib.Path]:
  """A wav file for each prompt and sample, called by its first words."""
  paths, taken = [], set()
  for prompt, sample in rows:
    words = re.sub(r"\W+", "-", prompt.lower()).strip("-")[:48] or "sound"
    name = stem = f"{words}-seed{seed}" + (f"-{sample}" if sample else "")
    twin = 1
    while name in taken:
      twin += 1
      name = f"{stem}-again{twin}"
    taken.add(name)
    paths.append(folder / f"{name}.wav")
  return paths


def _write(path: pathlib.Path, audio_S, known: dict, picture: bool) -> None:
  from siren_jax.data import audio

  rate = known["sample_rate"]
  audio.write_wav(path, audio_S, rate)
  with files.replacing(path.with_suffix(".json")) as file:
    file.write(f"{json.dumps(known, indent=2)}\n".encode())
  if picture:
    from siren_jax.cli import spectrogram

    with files.replacing(path.with_suffix(".png")) as file:
      spectrogram.save(file, audio_S, rate, known["prompt"])


def _next(args: argparse.Namespace, prompts: list[str]) -> str:
  """A command worth trying after this one."""
  more = "" if args.spectrogram else " --spectrogram"
  model = f" --model {shlex.quote(args.model)}" if args.model else ""
  mesh = f" --mesh {shlex.quote(args.mesh)}" if args.mesh else ""
  return (
    f"siren-jax generate {shlex.quote(prompts[0])} --seed {args.seed + 1} "
    f"--num-samples 4 --out sounds{more}{model}{mesh}"
  )
