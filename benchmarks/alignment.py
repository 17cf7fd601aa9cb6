"""Is an aligned model better, by judges that did not reward it?

  python -m benchmarks.alignment --manifest ESC10/manifest.csv \\
    --judge runs/judge siren-small runs/align/bundle-150

Every model makes the same clips (same prompts and seeds, one candidate):
phrasings that are in no training caption, and claims about synthetic sounds.
The first model is what the others are compared with, prompt by prompt.

  judge       cosine of prompt and clip by a CLAP that was trained with another
              seed on other recordings (`--judge`, a bundle or work directory)
  named       does the classifier of benchmarks.quality name the clip?
  margin      by how much that classifier prefers the right class
  rewarded    cosine by the model's own CLAP, the one that rewarded
  verified    share of a claim that can be measured in the clip
  diversity   mean of 1 - cosine, by the judge, between clips of one prompt

p: Wilcoxon signed-rank test over the means of prompts, two-sided. Intervals:
bootstrap over prompts, 95 %.
"""

import argparse
import json
import pathlib

import numpy as np
from scipy import stats

import siren_jax
from benchmarks.quality import RATE, SECONDS, classifier, features, recordings
from siren_jax import clap
from siren_jax.alignment.claims import verify
from siren_jax.alignment.prompts import synthetic_prompts
from siren_jax.data.captions import phrasebook

CLAIMS_SEED = 1 << 20  # of claims that no alignment is trained on
MEASURES = ("judge", "named", "margin", "rewarded", "verified", "diversity")


class Judges:
  """Prompts, and all that is measured on the clips made of them.

  Args:
    manifest: of recordings with fold and category.
    held_out_fold: trains the classifier.
    judge: folder of the other CLAP.
    claims: number of claims about synthetic sounds.
    claim_seconds: length of their clips.
    samples: clips a prompt.
  """

  def __init__(
    self, manifest, held_out_fold, judge, claims, samples, claim_seconds=SECONDS
  ):
    clips, labels, folds = recordings(manifest)
    held = folds == held_out_fold
    self.machine = classifier(clips[held], labels[held])
    self.judge = clap.load(judge)
    self.samples, self.claim_seconds = samples, claim_seconds
    self.prompts = [
      (category, text)
      for category in sorted(set(labels))
      for text in phrasebook.held_out(category)
    ]
    prompts = synthetic_prompts(claims, CLAIMS_SEED, RATE, claim_seconds)
    self.claims = list({id(p.truth): p for p in prompts}.values())
    self.real_diversity = np.mean(
      [
        self._distance(clips[held & (labels == category)])
        for category in sorted(set(labels))
      ]
    )

  def measure(self, model: siren_jax.Siren, seed: int) -> dict[str, np.ndarray]:
    """Means over the clips of each prompt, by the names in `MEASURES`."""
    categories, texts = zip(*self.prompts, strict=True)
    clips = self._make(model, texts, SECONDS, seed)
    scores = [self._score(*row) for row in zip(categories, clips, strict=True)]
    named, margin = np.array(scores).T
    claims = [p.text for p in self.claims]
    claims = self._make(model, claims, self.claim_seconds, seed)
    verified = [
      np.mean([verify(p.truth, c, model.sample_rate) for c in samples])
      for p, samples in zip(self.claims, claims, strict=True)
    ]
    return {
      "judge": self._cosines(self.judge, texts, clips),
      "named": named,
      "margin": margin,
      "rewarded": self._cosines(model.bundle.clap, texts, clips),
      "verified": np.array(verified),
      "diversity": np.array([self._distance(samples) for samples in clips]),
    }

  def _make(self, model, texts, seconds, seed) -> np.ndarray:
    """Clips [prompt, sample, S]."""
    audio_BxS = model.generate(
      list(texts), seconds, key=seed, num_samples=self.samples, candidates=1
    )
    return audio_BxS.reshape(len(texts), self.samples, -1)

  def _score(self, category, clips) -> tuple[float, float]:
    """Share of clips named right, and the mean margin."""
    scores = self.machine.decision_function([features(c) for c in clips])
    right = self.machine.classes_ == category
    margin = scores[:, right][:, 0] - scores[:, ~right].max(1)
    return float((margin > 0).mean()), float(margin.mean())

  def _cosines(self, judge, texts, clips) -> np.ndarray:
    text = np.asarray(judge.encode_text(texts)[2])
    audio = [np.asarray(judge.encode_audio(samples)) for samples in clips]
    return np.einsum("qe,qge->q", text, np.stack(audio)) / self.samples

  def _distance(self, clips) -> float:
    embeddings = np.asarray(self.judge.encode_audio(clips))
    pairs = np.triu_indices(len(embeddings), 1)
    return float(np.mean(1 - (embeddings @ embeddings.T)[pairs]))


def measured(judges: Judges, name: str, seeds: list[int]):
  """`Judges.measure` of a model, prompt by prompt, on average over seeds."""
  model = siren_jax.load(name)
  runs = [judges.measure(model, seed) for seed in seeds]
  return {m: np.mean([run[m] for run in runs], axis=0) for m in MEASURES}


def compare(base: np.ndarray, other: np.ndarray) -> dict[str, float]:
  """Means, the difference with its interval, and p, over prompts."""
  change = other - base
  rng = np.random.default_rng(0)
  resampled = rng.choice(change, (2000, len(change))).mean(1)
  low, high = np.percentile(resampled, [2.5, 97.5])
  p = stats.wilcoxon(change).pvalue if change.any() else 1.0
  return {
    "base": float(base.mean()),
    "mean": float(other.mean()),
    "change": float(change.mean()),
    "low": float(low),
    "high": float(high),
    "p": float(p),
  }


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add = parser.add_argument
  add("models", nargs="+", help="the base, then what is compared with it")
  add("--manifest", type=pathlib.Path, required=True)
  add("--held-out-fold", default="4")
  add("--judge", required=True, help="a CLAP that did not reward")
  add("--claims", type=int, default=50)
  add("--claim-seconds", type=float, default=SECONDS)
  add("--samples", type=int, default=4, help="clips a prompt")
  add("--seed", type=int, nargs="+", default=[0], help="several: their mean")
  add("--json", type=pathlib.Path, help="write all here, prompt by prompt")
  args = parser.parse_args()
  judges = Judges(
    args.manifest,
    args.held_out_fold,
    args.judge,
    args.claims,
    args.samples,
    args.claim_seconds,
  )
  measures_of = {
    name: measured(judges, name, args.seed) for name in args.models
  }
  base = measures_of[args.models[0]]
  print(
    f"{len(judges.prompts)} prompts and {len(judges.claims)} claims,"
    f" {args.samples * len(args.seed)} clips each; real clips of a class:"
    f" diversity {judges.real_diversity:.3f}"
  )
  table = {}
  for name in args.models[1:]:
    print(f"\n{name} against {args.models[0]}")
    table[name] = {m: compare(base[m], measures_of[name][m]) for m in MEASURES}
    for measure, row in table[name].items():
      print(
        f"  {measure:10}{row['base']:8.3f} ->{row['mean']:7.3f}"
        f"  {row['change']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        f"  {row['mean'] / row['base'] - 1:+.0%}  p {row['p']:.1e}"
      )
  if args.json:
    each = {
      name: {m: values.tolist() for m, values in measures.items()}
      for name, measures in measures_of.items()
    }
    args.json.write_text(json.dumps({"table": table, "prompts": each}) + "\n")


if __name__ == "__main__":
  main()
