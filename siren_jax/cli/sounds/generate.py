"""make sounds from prompts

  siren-jax generate "a dog barking" "rain on a tin roof" --num-samples 2
  siren-jax generate --prompts prompts.txt --out sounds/ --spectrogram

Every sound is a 16-bit wav, or what the suffix of --out says, with a JSON file
of the same name beside it, which says how it was made and has the command that
makes it again. The same prompt,
seed, sample and settings give the same sound on the same machine, alone or
among others. No file is replaced: a number is added to a name that is taken.

  siren-jax generate --again sounds/rain-seed0.json

makes a sound again, alone, from its JSON file, under the name of that file.
Beside --again stand --out, --spectrogram, and --model where the model has
moved; for another seed or setting, change the command in the JSON file.
"""

import argparse
import dataclasses
import pathlib
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import siren_jax
from siren_jax.cli import outputs, runtime
from siren_jax.cli.sounds import again
from siren_jax.common.errors import UserError, about
from siren_jax.storage import folders

_DEFAULTS = {"seconds": 5.0, "seed": 0, "num_samples": 1, "sample": 0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("prompts", type=str, nargs="*", metavar="PROMPT", help="what to hear")
  add("--prompts", dest="file", metavar="FILE", help="prompts, one a line")
  add("--again", metavar="JSON", help="make the sound of this file again")
  add("--seconds", type=float, help="length (default: 5)")
  add("--seed", type=int, help="another seed, another sound (default: 0)")
  add("--num-samples", type=int, help="sounds a prompt (default: 1)")
  add("--sample", type=int, help="number of the first (default: 0)")
  add("--candidates", type=int, help="draw so many, keep the best by CLAP")
  add("--temperature", type=float, help="below 1: safer, above: wilder")
  add("--top-k", type=int, help="draw from the k likeliest codes")
  add("--top-p", type=float, help="draw from this share of the probability")
  add("--guidance", type=float, help="pull towards the prompt, such as 3")
  add(
    "--loudness",
    type=str,
    metavar="LUFS",
    help="of every sound (default: as EBU R 128 has it), or none: as drawn",
  )
  add(
    "--out",
    default=".",
    help="a folder (default: here), or a file: .wav, .flac, .ogg or .mp3",
  )
  add("--spectrogram", action="store_true", help="a PNG beside every wav")
  add("--model", help="bundle folder, or the name of one that ships")
  add(
    "--mesh",
    type=str,
    metavar="AXIS=N,...",
    help="all devices: data=4,expert=2",
  )
  add("--batch-size", type=int, metavar="N", help="sounds drawn at a time")


def run(args: argparse.Namespace) -> None:
  if args.again is not None:
    _make_again(args)
    return
  vars(args).update(_DEFAULTS | runtime.given(args, *_DEFAULTS))
  prompts = _prompts(args)
  make(
    prompts,
    _path_of(args, len(prompts) * args.num_samples),
    args.model,
    args.seconds,
    args.seed,
    spectrogram=args.spectrogram,
    num_samples=args.num_samples,
    sample=args.sample,
    candidates=args.candidates,
    **runtime.given(args, "batch_size"),
    **({} if args.loudness is None else _loudness(args.loudness)),
    mesh=args.mesh,
    **runtime.given(args, *runtime.SAMPLING_FLAGS),
  )
  print(f"try next: {_next(args, prompts)}")


def _make_again(args: argparse.Namespace) -> None:
  """Makes the sound of a JSON file."""
  again.check_flags(args)
  facts = again.read(args.again)
  model, notes = again.model_of(args.again, facts, args.model)
  path_of = _path_of(args, 1)
  for note in notes:
    runtime.say(note)
  with about(args.again):
    make(
      [facts.prompt],
      path_of,
      model,
      facts.seconds,
      facts.seed,
      spectrogram=args.spectrogram,
      mesh=facts.mesh,
      batch_size=facts.batch_size,
      sample=facts.sample,
      loudness=facts.loudness,
      **dataclasses.asdict(facts.settings),
    )


def make(
  prompts: Sequence[str],
  path_of: Callable[[int, Any], pathlib.Path],
  model: str | None,
  seconds: float,
  seed: int,
  spectrogram: bool = False,
  mesh: str | None = None,
  batch_size: int | None = None,
  **options: Any,
) -> None:
  """Writes sounds, each with its JSON file, and says what it took.

  Args:
    prompts: what to make.
    path_of: number of a sound, and the sound (`api.Sound`), to its file.
    model: by which bundle; None is the default one.
    seconds: of each. seed: of all. spectrogram: a PNG beside each.
    mesh: axes and sizes, such as "data=4,expert=2". batch_size: see `api.load`.
    **options: see `api.Siren.sounds`.
  """
  start = time.perf_counter()
  import tqdm

  from siren_jax import api
  from siren_jax.audio import loudness

  batch_size = api.BATCH_SIZE if batch_size is None else batch_size
  siren = api.load(model, _mesh(mesh), batch_size)
  sounds = siren.sounds(prompts, seconds, key=seed, **options)
  clock = runtime.CompileClock()
  loaded = time.perf_counter()
  runtime.say("getting ready; new lengths and settings compile once ...")
  count = len(prompts) * options.get("num_samples", 1)
  options = {"loudness": loudness.TARGET} | options
  facts = _facts(siren, model, seconds, seed, options)
  facts |= {"mesh": mesh, "batch_size": batch_size}
  written = 0
  with tqdm.tqdm(sounds, total=count, unit="clip", disable=None) as bar:
    try:
      for sound in bar:
        wanted = path_of(written, sound)
        bar.write(_write(wanted, sound, facts, spectrogram))
        written += 1
    except KeyboardInterrupt as stop:
      stop.add_note(f"{written} of {count} sounds are written")
      raise
  making = time.perf_counter() - loaded - clock.seconds
  print(
    f"{count * seconds:g} s of sound; took {loaded - start:.1f} s to "
    f"load, {clock.seconds:.1f} s to compile, {making:.1f} s to make"
  )


def _write(
  wanted: pathlib.Path, sound: Any, facts: Mapping[str, Any], picture: bool
) -> str:
  """Writes a sound with its JSON file; a line that says so."""
  facts = {
    "prompt": sound.prompt,
    "sample": sound.sample,
    "clap_score": sound.clap_score,
    **facts,
  }
  facts["command"] = _command(facts)
  path, notes = outputs.write(wanted, sound.audio_S, facts, picture)
  if path != wanted:
    notes = (f"{wanted.name} is there already", *notes)
  score = sound.clap_score
  score = "" if score is None else f"  CLAP score {score:.2f}"
  return "; ".join([f'{path}  "{sound.prompt}"{score}', *notes])


def _facts(
  siren: Any,
  model: str | None,
  seconds: float,
  seed: int,
  options: Mapping[str, Any],
) -> dict[str, Any]:
  """What the JSON files of all sounds of a call say."""
  names = [field.name for field in dataclasses.fields(siren.bundle.sampling)]
  settings = {k: v for k, v in options.items() if k in names}
  return {
    "seed": seed,
    "seconds": seconds,
    "sample_rate": siren.sample_rate,
    "loudness": options["loudness"],
    "settings": dataclasses.asdict(siren.sampling_config(**settings))
    | {"candidates": siren.num_candidates(options.get("candidates"))},
    "model": siren.bundle.name,
    "model_path": model,
    "model_fingerprint": folders.model_fingerprint(folders.find(model or None)),
    "version": siren_jax.__version__,
  }


def _command(known: Mapping[str, Any]) -> str:
  """The command that makes this one sound again."""
  settings = known["settings"]
  level = known["loudness"]
  flags = {
    "model": known["model_path"] or known["model"],
    "seconds": known["seconds"],
    "seed": known["seed"],
    "sample": known["sample"],
    "candidates": settings["candidates"],
    **{name: settings[name] for name in runtime.SAMPLING_FLAGS},
    "loudness": "none" if level is None else level,
    "mesh": known["mesh"],
    "batch_size": known["batch_size"],
  }
  words = ["siren-jax", "generate"]
  for name, value in flags.items():
    if value is not None:
      words.append(f"--{name.replace('_', '-')}={value}")
  return shlex.join([*words, "--", known["prompt"]])


def _prompts(args: argparse.Namespace) -> list[str]:
  prompts = [p.strip() for p in args.prompts]
  if not all(prompts):
    raise UserError(
      'a prompt is empty; describe a sound: siren-jax generate "a dog barking"'
    )
  if args.file:
    from siren_jax.data.sources import tables

    prompts += tables.read_prompts(args.file)
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


def _loudness(text: str) -> dict[str, Any]:
  if text == "none":
    return {"loudness": None}
  try:
    return {"loudness": float(text)}
  except ValueError:
    raise UserError(
      f"--loudness {text}: give a number of LUFS, such as -23, or none"
    ) from None


def _path_of(
  args: argparse.Namespace, count: int
) -> Callable[[int, Any], pathlib.Path]:
  """Names the file of a sound; says beforehand what cannot be written."""
  if runtime.names_file(args.out):
    from siren_jax.audio import sound_files

    if count > 1:
      raise UserError(
        f"--out {args.out} is one file for {count} sounds; name a folder"
      )
    path = runtime.check_file(args.out, *sound_files.WRITTEN)
    return lambda _, sound: path
  folder = runtime.check_folder(args.out)
  if args.again is not None:
    path = folder / f"{pathlib.Path(args.again).stem}.wav"
    return lambda _, sound: path
  return lambda _, sound: (
    folder / f"{outputs.stem(sound.prompt, args.seed, sound.sample)}.wav"
  )


def _next(args: argparse.Namespace, prompts: list[str]) -> str:
  """A command worth trying after this one."""
  more = "" if args.spectrogram else " --spectrogram"
  model = f" --model {shlex.quote(args.model)}" if args.model else ""
  mesh = f" --mesh {shlex.quote(args.mesh)}" if args.mesh else ""
  return (
    f"siren-jax generate {shlex.quote(prompts[0])} --seed {args.seed + 1} "
    f"--num-samples 4 --out sounds{more}{model}{mesh}"
  )
