"""Sounds to hear and their spectrograms, for README and docs/sounds.md.

python benchmarks/gallery.py --out docs/sounds

writes an mp3 and a png for each prompt, and prints the table of them that
docs/sounds.md holds. The prompts are those of the kinds with most recordings.
"""

import argparse
import itertools
import pathlib
from collections.abc import Sequence

from matplotlib import figure

import siren_jax
from siren_jax.audio import spectrogram
from siren_jax.weights import repertoire

COUNT = 24
COLUMNS = 4


def prompts(kinds: Sequence[repertoire.Kind]) -> list[str]:
  """COUNT prompts: for the kind with most clips of each group, then others."""
  by_clips = sorted(kinds, key=lambda kind: -kind.clips)
  first = {kind.group: kind for kind in reversed(by_clips)}.values()
  others = (kind for kind in by_clips if kind not in first)
  chosen = itertools.islice(itertools.chain(first, others), COUNT)
  return sorted(kind.example for kind in chosen)


def file_name(prompt: str) -> str:
  """The stem of a prompt's files."""
  return prompt.replace(" ", "_")


def table(prompts: Sequence[str], folder: str) -> str:
  """Markdown: spectrograms that are links to their sounds."""
  cells = []
  for prompt in prompts:
    stem = f"{folder}/{file_name(prompt)}"
    cells.append(f"[![{prompt}]({stem}.png)]({stem}.mp3)<br>{prompt}")
  cells += [""] * (-len(cells) % COLUMNS)
  rows = [cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)]
  rows.insert(1, ["---"] * COLUMNS)
  return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(path: pathlib.Path, audio_S, sample_rate: int) -> None:
  """Writes a small spectrogram without labels."""
  picture = figure.Figure(figsize=(3, 1.5), layout="constrained")
  axes = picture.add_subplot()
  spectrogram.draw(axes, audio_S, sample_rate)
  axes.set_axis_off()
  picture.savefig(path, dpi=80)


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model", help="bundle (default: the built-in one)")
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  siren = siren_jax.load(args.model)
  args.out.mkdir(parents=True, exist_ok=True)
  texts = prompts(siren.bundle.repertoire.kinds)
  clips = siren.generate(texts, seconds=5, key=args.seed)
  for prompt, audio_S in zip(texts, clips, strict=True):
    stem = args.out / file_name(prompt)
    siren.save(audio_S, stem.with_suffix(".mp3"))
    draw(stem.with_suffix(".png"), audio_S, siren.sample_rate)
  print(table(texts, args.out.name))


if __name__ == "__main__":
  main()
