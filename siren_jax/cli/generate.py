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

import siren_jax
from siren_jax.cli import runtime
from siren_jax.common import files
from siren_jax.common.errors import UserError

_SETTINGS = ("temperature", "top_k", "top_p", "guidance")


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("prompts", nargs="*", metavar="PROMPT", help="what to hear")
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


@dataclasses.dataclass(frozen=True)
class _Clip:
  prompt: str
  sample: int
  path: pathlib.Path


def run(args: argparse.Namespace) -> None:
  start = time.perf_counter()
  prompts = _prompts(args)
  plan = _plan(args, prompts)
  runtime.use_compilation_cache()
  import tqdm

  from siren_jax import api

  siren = api.load(args.model)
  settings = runtime.given(args, *_SETTINGS)
  candidates = siren.num_candidates(args.candidates)
  clips = siren.clips(
    prompts,
    args.seconds,
    key=args.seed,
    num_samples=args.num_samples,
    candidates=candidates,
    **settings,
  )
  clock = runtime.CompileClock()
  loaded = time.perf_counter()
  runtime.say("getting ready; new lengths and settings compile once ...")
  bar = tqdm.tqdm(clips, total=len(plan), unit="clip", disable=None)
  config = dataclasses.asdict(siren.sampling_config(**settings))
  config["candidates"] = candidates
  for clip, audio_S in zip(plan, bar, strict=True):
    _write(clip, audio_S, siren, args, config)
    bar.write(f'{clip.path}  "{clip.prompt}"')
  making = time.perf_counter() - loaded - clock.seconds
  print(
    f"{len(plan) * args.seconds:g} s of sound; took {loaded - start:.1f} s to "
    f"load, {clock.seconds:.1f} s to compile, {making:.1f} s to make"
  )
  print(f"try next: {_next(args, prompts)}")


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


def _plan(args: argparse.Namespace, prompts: list[str]) -> list[_Clip]:
  """Every clip with its own file; tells what cannot be written beforehand."""
  rows = [(p, i) for p in prompts for i in range(args.num_samples)]
  if args.out.lower().endswith(".wav"):
    if len(rows) > 1:
      raise UserError(
        f"--out {args.out} is one file for {len(rows)} sounds; name a folder"
      )
    path = runtime.check_file(args.out, ".wav")
    return [_Clip(prompt, sample, path) for prompt, sample in rows]
  folder = runtime.check_folder(args.out)
  plan, taken = [], set()
  for prompt, sample in rows:
    words = re.sub(r"\W+", "-", prompt.lower()).strip("-")[:48] or "sound"
    name = stem = f"{words}-seed{args.seed}" + (f"-{sample}" if sample else "")
    twin = 1
    while name in taken:
      twin += 1
      name = f"{stem}-again{twin}"
    taken.add(name)
    plan.append(_Clip(prompt, sample, folder / f"{name}.wav"))
  return plan


def _write(clip, audio_S, siren, args, config) -> None:
  from siren_jax.data import audio

  audio.write_wav(clip.path, audio_S, siren.sample_rate)
  sidecar = {
    "prompt": clip.prompt,
    "seed": args.seed,
    "sample": clip.sample,
    "seconds": args.seconds,
    "sample_rate": siren.sample_rate,
    "settings": config,
    "model": siren.bundle.name,
    "version": siren_jax.__version__,
  }
  with files.replacing(clip.path.with_suffix(".json")) as file:
    file.write(f"{json.dumps(sidecar, indent=2)}\n".encode())
  if args.spectrogram:
    from siren_jax.cli import spectrogram

    with files.replacing(clip.path.with_suffix(".png")) as file:
      spectrogram.save(file, audio_S, siren.sample_rate, clip.prompt)


def _next(args: argparse.Namespace, prompts: list[str]) -> str:
  """A command worth trying after this one."""
  more = "" if args.spectrogram else " --spectrogram"
  model = f" --model {shlex.quote(args.model)}" if args.model else ""
  return (
    f"siren-jax generate {shlex.quote(prompts[0])} --seed {args.seed + 1} "
    f"--num-samples 4 --out sounds{more}{model}"
  )
