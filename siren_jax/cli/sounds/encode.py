"""turn recordings into codes

  siren-jax encode bark.wav --out bark.npz
  siren-jax encode a.wav b.flac --out codes/

The .npz holds codes [N, T] (codebooks, frames), sample_rate and num_samples;
`siren-jax decode` turns the codes back into sound.
"""

import argparse
import pathlib
import shlex

from siren_jax.cli import runtime
from siren_jax.common import files


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("audio", nargs="+", metavar="AUDIO", help="sound files")
  add("--out", default=".", help=".npz file, or folder (default: current)")
  add(
    "--model",
    help="bundle, codec work directory, or the name of a built-in bundle",
  )


def run(args: argparse.Namespace) -> None:
  targets = runtime.targets(args.audio, args.out, ".npz")
  from siren_jax.common import compilation

  compilation.use_cache()
  import numpy as np

  from siren_jax import codec
  from siren_jax.audio import sound_files
  from siren_jax.codec import chunks
  from siren_jax.storage import folders

  model = codec.load(folders.find(args.model or None))
  rate = model.config.sample_rate

  def encode(source: str, target: pathlib.Path) -> str:
    audio_S, notes = sound_files.read_audio(source, rate)
    for note in notes:
      runtime.print_status(f"{source}: {note}")
    codes_NxT = chunks.encode(model, audio_S[None])[0]
    with files.replacing(target) as file:
      np.savez_compressed(
        file, codes=codes_NxT, sample_rate=rate, num_samples=len(audio_S)
      )
    return f"{target}  {codes_NxT.shape[0]} x {codes_NxT.shape[1]} codes"

  paths = runtime.each(args.audio, targets, encode)
  words = ["siren-jax", "decode", str(paths[-1])]
  words += ["--model", args.model] if args.model else []
  print(f"try next: {shlex.join(words)}")
