"""turn codes back into sound

siren-jax decode bark.npz --out bark.wav
"""

import argparse
import zipfile

from siren_jax.cli import runtime
from siren_jax.common.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("codes", nargs="+", metavar="NPZ", help="files of siren-jax encode")
  add("--out", default=".", help="a .wav file, or a folder (default: here)")
  add("--model", help="bundle or codec work directory, or a name that ships")


def run(args: argparse.Namespace) -> None:
  targets = runtime.targets(args.codes, args.out, ".wav")
  runtime.use_compilation_cache()

  from siren_jax import codec
  from siren_jax.codec import chunks
  from siren_jax.data import audio
  from siren_jax.weights import bundle

  model = codec.load(bundle.find(args.model))
  rate = model.config.sample_rate
  for source, target in zip(args.codes, targets):
    codes_NxT, num_samples = _read(source, model.config)
    audio_S = chunks.decode(model, codes_NxT[None])[0][:num_samples]
    audio.write_wav(target, audio_S, rate)
    print(f"{target}  {len(audio_S) / rate:.2f} s")


def _read(path, config):
  """Codes [N, T] and the number of audio samples they stand for."""
  import numpy as np

  from siren_jax.codec import checks

  try:
    with np.load(path, allow_pickle=False) as file:
      codes_NxT, rate, num_samples = (
        file[name] for name in ("codes", "sample_rate", "num_samples")
      )
      rate, num_samples = int(rate), int(num_samples)
  except OSError as error:
    if error.filename:
      raise  # No such file, or not allowed: told as it is.
    raise UserError(_BROKEN.format(path, error)) from error
  except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as e:
    raise UserError(_BROKEN.format(path, e)) from e
  if rate != config.sample_rate:
    raise UserError(
      f"{path}: codes of a {rate} Hz codec, this one works at "
      f"{config.sample_rate} Hz; give --model the codec that made them"
    )
  checks.check_codes(codes_NxT[None], config)
  frames = codes_NxT.shape[1]
  if not 0 < num_samples <= frames * config.hop:
    raise UserError(
      f"{path}: num_samples {num_samples} does not fit {frames} frames of "
      f"{config.hop}; encode again"
    )
  return codes_NxT, num_samples


_BROKEN = "{}: no file of codes ({}); make one with siren-jax encode"
