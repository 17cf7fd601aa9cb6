"""Does a model say which prompts are far from all that it was trained on?

  python -m benchmarks.far_prompts --model BUNDLE

Prompts for things that are not in the data should be flagged, prompts for the
kinds that are should not. `far_prompts.json` has both as people type them,
and prompts of several sounds, for a model of the 516 kinds; the phrase book has
phrasings of each kind that no training caption uses, which share few words with
any. Prompts for kinds that the model was not trained on are left out.

Every second prompt tunes the threshold; the others test it.
"""

import argparse
import json
import pathlib

import numpy as np

from siren_jax.data.captions import phrasebook
from siren_jax.weights import bundle, survey

PROMPTS = pathlib.Path(__file__).with_suffix(".json")
FALSE_ALARMS = (0.01, 0.02, 0.05, 0.1, 0.2)


def best_threshold(known: np.ndarray, unknown: np.ndarray) -> float:
  """Where most of the unknown lie below beyond the known that do."""
  candidates = np.unique(np.concatenate([known, unknown]))
  gains = [(unknown < t).mean() - (known < t).mean() for t in candidates]
  return float(candidates[int(np.argmax(gains))])


def roc(known: np.ndarray, unknown: np.ndarray) -> list[tuple[float, float]]:
  """Share of the known that is flagged, and of the unknown."""
  thresholds = np.quantile(known, FALSE_ALARMS)
  return [((known < t).mean(), (unknown < t).mean()) for t in thresholds]


def margins(model: bundle.Bundle) -> dict[str, np.ndarray]:
  """Margins of all prompts, by what they are."""
  prompts = json.loads(PROMPTS.read_text("utf-8"))
  names = {kind.name for kind in model.repertoire.kinds}
  prompts["known"] = [p for p, k in prompts["known"].items() if k in names]
  prompts["held out"] = [
    text
    for kind in model.repertoire.kinds
    for text in phrasebook.held_out(kind.name)
  ]
  return {
    name: np.array(
      [model.repertoire.margin(e) for e in survey.embed(model.clap, texts)]
    )
    for name, texts in prompts.items()
  }


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--model", required=True, help="bundle with kinds.json")
  args = parser.parse_args()
  model = bundle.load(args.model)
  if model.repertoire is None:
    parser.error(f"{args.model} has no kinds.json; export it with --manifest")
  tune, test = {}, {}
  for name, values in margins(model).items():
    tune[name], test[name] = values[::2], values[1::2]
  every_known = np.concatenate([tune["known"], tune["mixed"]])
  print("flagged, of prompts known and unknown, on the half that tunes:")
  for known, unknown in roc(every_known, tune["unknown"]):
    print(f"  {known:6.1%} {unknown:6.1%}")
  chosen = best_threshold(every_known, tune["unknown"])
  print(f"threshold {chosen:.3f}; that of the bundle:", end=" ")
  print(f"{model.repertoire.far_threshold:.3f}")
  print("flagged on the half that tests, with each:")
  for name, values in test.items():
    shares = [
      (values < t).mean() for t in (chosen, model.repertoire.far_threshold)
    ]
    print(
      f"  {name:9}{len(values):5} prompts {shares[0]:6.1%} {shares[1]:6.1%}"
    )


if __name__ == "__main__":
  main()
