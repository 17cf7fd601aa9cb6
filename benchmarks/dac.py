"""DAC of the published size: encode and decode 5 s, beside transformers.

  python -m benchmarks.dac

Random weights, 16 kHz, float32, medians of five. The peer needs torch and
transformers (CONTRIBUTING.md, oracles).
"""

import argparse
import statistics
import tempfile
import time

import numpy as np
import torch
import transformers

from siren_jax.weights import dac


def median(run, argument, repeats: int = 5) -> float:
  """Seconds, after one run that is not counted."""
  run(argument)
  seconds = []
  for _ in range(repeats):
    start = time.perf_counter()
    run(argument)
    seconds.append(time.perf_counter() - start)
  return statistics.median(seconds)


@torch.no_grad()
def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--seconds", type=float, default=5.0)
  parser.add_argument("--batch", type=int, nargs="*", default=[1, 4])
  args = parser.parse_args()
  peer = transformers.DacModel(
    transformers.DacConfig(downsampling_ratios=[2, 4, 5, 8], n_codebooks=12)
  ).eval()
  with tempfile.TemporaryDirectory() as folder:
    peer.save_pretrained(folder)
    codec = dac.load(folder)
  rng = np.random.default_rng(0)
  samples = round(args.seconds * codec.config.sample_rate)
  print(f"{torch.get_num_threads()} threads; seconds, ours / theirs")
  for batch in args.batch:
    audio = rng.normal(0, 0.1, (batch, samples)).astype("f4")
    x = torch.tensor(audio)[:, None]
    codes = np.asarray(codec.encode(audio))
    z = torch.tensor(codes)
    pairs = {
      "encode": (
        median(lambda x: np.asarray(codec.encode(x)), audio),
        median(peer.encode, x),
      ),
      "decode": (
        median(lambda x: np.asarray(codec.decode(x)), codes),
        median(lambda x: peer.decode(audio_codes=x), z),
      ),
    }
    for what, (ours, theirs) in pairs.items():
      print(
        f"  {what} batch {batch}: {ours:.2f} / {theirs:.2f}"
        f"  {theirs / ours:.2f} times as fast"
      )


if __name__ == "__main__":
  main()
