"""Flags of `siren-jax generate`: which exist, and which can be combined."""

import argparse
import re
from collections.abc import Callable
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common.errors import UserError

STREAM = "-"  # of --out: standard output
MODEL_HELP = (
  "bundle folder, hub:OWNER/NAME[@REVISION], or the name of a built-in bundle"
)
DEFAULTS = {"seconds": 5.0, "seed": 0, "num_samples": 1, "sample": 0}

_SET_BY_MAIN = ("verb", "run", "interrupted", "overrides")
_ALLOWED_WITH_AGAIN = ("again", "out", "spectrogram", "model")
_NAMES = {
  "prompts": "PROMPT",
  "file": "--prompts",
  "continue_from": "--continue",
}
_NOT_STREAMED = {
  "again": "the loudness of a sound is known only at its end",
  "fill": "the best fill is chosen after all candidates are drawn",
  "vary": "a variation has the length of its recording",
  "num_samples": "a stream is one sound",
  "candidates": "a stream is one draw, with nothing to choose from",
  "loudness": "it is known only at the end of a sound; use --gain",
  "spectrogram": "a spectrogram needs a sound file to go with",
  "batch_size": "a stream is one sound",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """Adds all flags, in groups."""
  add = parser.add_argument
  add("prompts", type=str, nargs="*", metavar="PROMPT", help="text prompt")
  add("--prompts", dest="file", metavar="FILE", help="one prompt per line")
  add(
    "--seconds",
    type=_or_none(float),
    help="length, or with --continue the length added (default: 5)",
  )
  add("--seed", type=int, help="random seed (default: 0)")
  add("--num-samples", type=int, help="sounds per prompt (default: 1)")
  add(
    "--sample",
    type=int,
    help="index of the first sound generated for each prompt (default: 0)",
  )
  _add_sources(parser)
  _add_drawing(parser)
  _add_outputs(parser)


def _add_sources(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group(
    "from an existing sound; prompt optional, but not allowed with --again"
  )
  add = group.add_mutually_exclusive_group().add_argument
  add(
    "--continue",
    dest="continue_from",
    metavar="RECORDING",
    help="continue the recording from its end",
  )
  add(
    "--fill",
    nargs=2,
    metavar=("START:END", "RECORDING"),
    help="regenerate this part (in seconds) so that it fits the rest",
  )
  add(
    "--vary",
    metavar="RECORDING",
    help="keep the coarse codes and regenerate the rest",
  )
  add("--again", metavar="JSON", help="regenerate a sound from its JSON")
  group.add_argument(
    "--keep",
    type=int,
    metavar="N",
    help="for --vary: codebooks to keep, coarsest first (default: 4)",
  )


def _add_drawing(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("sampling")
  add = group.add_argument
  add(
    "--candidates",
    type=int,
    help="generate this many and keep the best by CLAP score (with --fill:"
    " by how well it fits the audio around it)",
  )
  add("--temperature", type=float, help="below 1: safer, above 1: more varied")
  add(
    "--top-k",
    type=_or_none(int),
    metavar="K",
    help="sample from the k most likely codes; none: from all",
  )
  add(
    "--top-p",
    type=_or_none(float),
    metavar="P",
    help="nucleus sampling: probability mass; none: sample from all codes",
  )
  add(
    "--guidance",
    type=_or_none(float),
    metavar="SCALE",
    help="classifier-free guidance scale, such as 3; none: no guidance",
  )
  add_loading(group)


def _or_none(kind: type) -> Callable[[str], Any]:
  """A type of arguments: a number, or "none"."""

  def parse(text: str) -> Any:
    return text if text == runtime.NONE else kind(text)

  parse.__name__ = kind.__name__  # argparse names it where it is wrong
  return parse


def add_loading(group: argparse._ActionsContainer) -> None:
  """Adds the flags for loading a model."""
  add = group.add_argument
  add("--model", help=MODEL_HELP)
  add(
    "--mesh",
    type=str,
    metavar="AXIS=N,...",
    help="device mesh, such as data=4,expert=2",
  )
  add("--batch-size", type=int, metavar="N", help="sounds per batch")
  add(
    "--dtype",
    type=str,
    metavar="TYPE",
    help="dtype of the experts: float32 (default on a CPU), bfloat16 (default"
    " on newer GPUs and TPUs) or int8 (half the memory of bfloat16)",
  )
  add(
    "--no-expand",
    action="store_true",
    help="do not rewrite unusual prompts to resemble the training captions",
  )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument_group("output").add_argument
  add(
    "--out",
    default=".",
    help="folder (default: the current one), file (.wav, .flac, .ogg or .mp3),"
    " or - for standard output",
  )
  add("--spectrogram", action="store_true", help="also write a spectrogram PNG")
  add(
    "--loudness",
    type=str,
    metavar="LUFS",
    help="target loudness (default: -23, as in EBU R 128, or that of the source"
    " recording), or none to leave it unchanged",
  )
  add(
    "--gain",
    type=float,
    metavar="DB",
    help="output gain with '--out -' (default: 0)",
  )


def check(args: argparse.Namespace) -> None:
  """Checks that flags can be combined.

  Raises:
    UserError: they cannot; the message names both.
  """
  given = {
    name: _NAMES.get(name, f"--{name.replace('_', '-')}")
    for name, value in vars(args).items()
    if value is not None
    and value is not False
    and value != []
    and name not in _SET_BY_MAIN
  }
  streams = args.out == STREAM
  for name, flag in given.items():
    if streams and name in _NOT_STREAMED and not _is_one_draw(args, name):
      raise UserError(
        f"{flag} with --out -: {_NOT_STREAMED[name]}; leave {flag} out, or"
        " write a file"
      )
    if args.again is not None and name not in _ALLOWED_WITH_AGAIN:
      raise UserError(
        f"{flag} with --again: {args.again} sets all but --out, --spectrogram"
        f" and --model; leave {flag} out, or change the command in that file"
      )
  if args.gain is not None and not streams:
    raise UserError(
      f"--gain {args.gain:g}: needs --out -; use --loudness for files"
    )
  if args.keep is not None and args.vary is None:
    raise UserError(f"--keep {args.keep}: goes with --vary RECORDING")
  if args.seconds is not None and (args.fill or args.vary is not None):
    flag = "--fill" if args.fill else "--vary"
    raise UserError(
      f"--seconds with {flag}: the sound is as long as the recording; leave"
      " --seconds out"
    )
  if args.seconds == runtime.NONE and not streams:
    raise UserError(
      "--seconds none: a file needs a length; give one, or use --out -"
    )


def _is_one_draw(args: argparse.Namespace, name: str) -> bool:
  return name == "candidates" and args.candidates == 1


def mesh(text: str | None) -> Any:
  """Parses a MeshConfig such as `data=4,expert=2`; None: no mesh."""
  if text is None:
    return None
  from siren_jax.common import mesh as meshes

  sizes = {}
  for word in text.split(","):
    axis, _, size = word.strip().partition("=")
    if (
      axis not in meshes.AXES
      or axis in sizes
      or not re.fullmatch(r"-?\d+", size)
    ):
      raise UserError(
        f"--mesh {text}: {word!r} is not an axis and its number of devices;"
        f" the axes are {', '.join(meshes.AXES)}, as in data=4,expert=2"
      )
    sizes[axis] = int(size)
  return meshes.MeshConfig(**sizes)


def loudness(args: argparse.Namespace) -> dict[str, Any]:
  """The requested loudness as an option; empty for the default."""
  if args.loudness is None:
    return {}
  if args.loudness == runtime.NONE:
    return {"loudness": None}
  try:
    return {"loudness": float(args.loudness)}
  except ValueError:
    raise UserError(
      f"--loudness {args.loudness}: give a number of LUFS, such as -23, or none"
    ) from None
