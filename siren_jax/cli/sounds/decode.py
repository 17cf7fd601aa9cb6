"""turn codes back into sound

siren-jax decode bark.npz --out bark.wav

The suffix sets the format: 16-bit .wav or .flac, .ogg (Vorbis), or .mp3.
"""

import argparse
import pathlib
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common import files
from siren_jax.common.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("codes", nargs="+", metavar="NPZ", help="files from siren-jax encode")
  add("--out", default=".", help="sound file, or folder (default: current)")
  add(
    "--model",
    help="bundle, codec work directory, or the name of a built-in bundle",
  )


def run(args: argparse.Namespace) -> None:
  from siren_jax.audio import sound_files

  targets = runtime.targets(args.codes, args.out, *sound_files.WRITTEN)
  from siren_jax.common import compilation

  compilation.use_cache()
  from siren_jax import codec
  from siren_jax.codec import chunks
  from siren_jax.storage import folders

  model = codec.load(folders.find(args.model or None))
  rate = model.config.sample_rate

  def decode(source: str, target: pathlib.Path) -> str:
    codes_NxT, num_samples = _read(source, model.config)
    audio_S = chunks.decode(model, codes_NxT[None])[0][:num_samples]
    for note in sound_files.write_audio(target, audio_S, rate):
      runtime.print_status(f"{target}: {note}")
    return f"{target}  {len(audio_S) / rate:.2f} s"

  runtime.each(args.codes, targets, decode)


def _read(path: str, config: Any) -> tuple[Any, int]:
  """Codes [N, T] and the number of audio samples they stand for."""
  from siren_jax.codec.model import check_codes

  arrays = files.read_npz(path, _REMEDY)
  try:
    codes_NxT = arrays["codes"]
    rate, num_samples = int(arrays["sample_rate"]), int(arrays["num_samples"])
  except (KeyError, TypeError, ValueError) as error:
    raise UserError(f"{path}: not a codes file ({error}); {_REMEDY}") from error
  if rate != config.sample_rate:
    raise UserError(
      f"{path}: codes of a {rate} Hz codec, but this codec runs at "
      f"{config.sample_rate} Hz; set --model to the codec that made them"
    )
  try:
    check_codes(codes_NxT[None], config)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
  frames = codes_NxT.shape[1]
  if not 0 < num_samples <= frames * config.hop:
    raise UserError(
      f"{path}: num_samples {num_samples} does not fit {frames} frames of "
      f"{config.hop}; encode again"
    )
  return codes_NxT, num_samples


_REMEDY = "make one with siren-jax encode"
