"""prepare data sets: recordings to audio sets, audio sets to code sets

Captioned recordings (folders or manifests) become an audio set. A manifest is a
CSV or JSONL file with an audio path and a caption or category per row:

  siren-jax prepare-data my_sounds/ --out runs/audio
  siren-jax prepare-data --manifest clips.csv --synthetic 500 --out runs/audio
  siren-jax prepare-data --synthetic 2000 --out runs/audio

A trained codec and CLAP (work directories, bundles, or names of built-in ones)
turn an audio set into the code set that `siren-jax train` reads:

  siren-jax prepare-data runs/audio --codec runs/codec --clap runs/clap \\
    --out runs/codes
"""

import argparse
import pathlib
from collections.abc import Mapping
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common.errors import UserError

EXTRA = "train"
INTERRUPTED = "no data set was written; run the same command again"
_AUDIO = (
  "sample_rate",
  "captions",
  "synthetic",
  "mixtures",
  "sequences",
  "layouts",
  "balance",
  "loudness",
  "validation_fold",
  "every_kind",
  "max_seconds",
  "strict",
)
_CODES = ("views", "batch_records", "batch_captions")
_BOTH = ("seconds", "seed")
_SYNTHETIC = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "sources",
    nargs="*",
    metavar="SOURCE",
    help="folder of recordings, or an audio set",
  )
  add(
    "--manifest",
    action="append",
    default=[],
    metavar="FILE",
    help="CSV or JSONL of recordings; repeatable",
  )
  add("--out", required=True, metavar="DIR", help="the data set to write")
  add(
    "--overwrite",
    action="store_true",
    help="replace the data set at --out once the new one is complete",
  )
  add("--seconds", type=float, help="length of a sound (default: 5)")
  add("--seed", type=int, help="random seed (default: 0)")
  audio = parser.add_argument_group("recordings to audio set")
  audio.add_argument(
    "--synthetic",
    type=int,
    nargs="?",
    const=_SYNTHETIC,
    metavar="N",
    help=f"add N synthetic sounds with captions (N omitted: {_SYNTHETIC})",
  )
  audio.add_argument(
    "--mixtures", type=int, metavar="N", help="add N mixtures of two sounds"
  )
  audio.add_argument(
    "--sequences",
    type=int,
    metavar="N",
    help="add N sequences of two or three sounds",
  )
  audio.add_argument(
    "--layouts",
    action="store_true",
    default=None,
    help="extend short sounds: repeat one-shots, loop steady sounds",
  )
  audio.add_argument(
    "--balance",
    type=int,
    metavar="N",
    help="oversample the recordings of rare kinds until each kind has N",
  )
  audio.add_argument(
    "--loudness",
    type=float,
    metavar="LUFS",
    help="normalise all sounds to this loudness (default: unchanged)",
  )
  audio.add_argument(
    "--validation-fold", metavar="FOLD", help="held-out fold (default: last)"
  )
  audio.add_argument(
    "--every-kind",
    action="store_true",
    default=None,
    help="add kinds found only in the validation fold to the training split",
  )
  audio.add_argument(
    "--max-seconds",
    type=float,
    metavar="S",
    help="skip longer recordings (default: 3600)",
  )
  audio.add_argument(
    "--sample-rate", type=int, metavar="HZ", help="default: 16000"
  )
  audio.add_argument(
    "--captions", type=int, metavar="N", help="maximum captions per sound"
  )
  audio.add_argument(
    "--strict", action="store_true", default=None, help="stop at a bad file"
  )
  codes = parser.add_argument_group("audio set to code set")
  codes.add_argument(
    "--codec",
    metavar="DIR",
    help="codec for the codes: work directory, bundle, or the name of a"
    " built-in bundle",
  )
  codes.add_argument(
    "--clap",
    metavar="DIR",
    help="CLAP for the captions: same choices as --codec",
  )
  codes.add_argument(
    "--views",
    type=int,
    metavar="N",
    help="encodings per sound: the original sound, then augmented versions",
  )
  codes.add_argument(
    "--batch-records",
    type=int,
    metavar="N",
    help="sounds encoded together, each with all its views (default: 2)",
  )
  codes.add_argument(
    "--batch-captions",
    type=int,
    metavar="N",
    help="captions encoded at a time (default: 8)",
  )


def run(args: argparse.Namespace) -> None:
  runtime.check_folder(args.out)
  if args.codec or args.clap:
    _refuse(args, (*_AUDIO, "manifest"), "takes an audio set")
    _codes(args)
  else:
    _refuse(args, _CODES, "needs --codec and --clap")
    _audio(args)


def _audio(args: argparse.Namespace) -> None:
  sources = [*args.sources, *args.manifest]
  if not sources and not args.synthetic:
    raise UserError(
      "no recordings; name a folder or a --manifest, or use --synthetic"
    )
  from siren_jax.data.preparation import audio

  config = audio.AudioConfig(**runtime.given(args, *_AUDIO, *_BOTH))
  summary = audio.prepare_audio(
    sources, args.out, config, overwrite=args.overwrite
  )
  _report(summary, pathlib.Path(args.out) / audio.SKIPPED)
  runtime.print_examples(args.out)
  print(
    f"{args.out} is ready; try next: siren-jax train-codec "
    f"--config=nano_codec --config.data.path={args.out} "
    "--workdir=runs/codec"
  )


def _report(summary: Mapping[str, Any], skipped: pathlib.Path) -> None:
  """Prints the content of the set, changes and skipped files."""
  for split in ("train", "validation"):
    seconds = summary[f"{split}_seconds"]
    print(f"{split}: {summary[split]} sounds, {seconds:.1f} s")
  for note, count in sorted(summary["notes"].items()):
    print(f"{note}: {count} {'file' if count == 1 else 'files'}")
  if summary["skipped"]:
    print(f"skipped: {summary['skipped']}, listed in {skipped}")


def _codes(args: argparse.Namespace) -> None:
  if not (args.codec and args.clap and len(args.sources) == 1):
    raise UserError(
      "codes need one audio set, --codec and --clap; see "
      "siren-jax prepare-data --help"
    )
  from siren_jax.common import compilation

  compilation.use_cache()
  from siren_jax import clap, codec
  from siren_jax.data import encoding
  from siren_jax.weights import bundle

  codec_model, clap_model = codec.load(args.codec), clap.load(args.clap)
  config = encoding.CodesConfig(**runtime.given(args, *_CODES, *_BOTH))
  counts = encoding.prepare_codes(
    args.sources[0],
    codec_model,
    clap_model,
    args.out,
    config,
    overwrite=args.overwrite,
    finish=lambda folder: bundle.save_encoders(folder, codec_model, clap_model),
  )
  for split, count in counts.items():
    print(f"{split}: {count} sounds")
  name = "siren_1_6b" if codec_model.config.kind == "dac" else "nano"
  print(
    f"{args.out} is ready; try next: siren-jax train "
    f"--config={name} --config.data.path={args.out} "
    "--workdir=runs/experts"
  )


def _refuse(args: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
  for name in names:
    if getattr(args, name):
      raise UserError(f"--{name.replace('_', '-')}: this command form {why}")
