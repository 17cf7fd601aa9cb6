"""One picture of the spectrograms of many prompts, for the README.

python benchmarks/gallery.py --out docs/spectrograms.png
"""

import argparse

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

import siren_jax
from siren_jax.audio import spectrogram

PROMPTS = (
  "a dog barking",
  "a baby crying",
  "a clock ticking",
  "a rooster crowing",
  "a person sneezing",
  "rain",
  "sea waves",
  "a crackling fire",
  "a helicopter",
  "a chainsaw",
)


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model", help="bundle (default: the one that ships)")
  parser.add_argument("--out", required=True)
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  siren = siren_jax.load(args.model)
  clips = siren.generate(list(PROMPTS), seconds=5, key=args.seed)
  figure, axes = pyplot.subplots(2, 5, figsize=(14, 4.4), sharex=True)
  for axis, prompt, audio_S in zip(axes.flat, PROMPTS, clips, strict=True):
    spectrogram.draw(axis, audio_S, siren.sample_rate)
    axis.set_title(prompt, fontsize=10)
    axis.set_yticks([])
  figure.supxlabel("seconds", fontsize=9)
  figure.tight_layout()
  figure.savefig(args.out, dpi=80)


if __name__ == "__main__":
  main()
