"""Does a CLAP know recordings that it was not trained on?

  python -m benchmarks.clap --manifest OPEN/manifest.csv \\
    --manifest ESC10/manifest.csv --clap siren-small

The recordings are those of the held-out fold whose kinds have recordings in
other folds too, at most 5 s, at -23 LUFS. A kind counts where the phrase book
has it.

  classification  a recording is classified by the nearest of all kinds of the
                  manifests; a kind is the mean of its training phrasings
  text to audio   all recordings are ranked by a phrasing that is in no training
                  caption; correct if one of the first 1, 5, 10 has its kind
  audio to text   all such phrasings are ranked by a recording; correct if one
                  of the first 1, 5, 10 is of its kind
  chance          the same of random ranks
"""

import argparse
import json
import pathlib

import numpy as np

from benchmarks.judge import Recordings, read
from benchmarks.quality import RATE, SECONDS
from siren_jax import clap
from siren_jax.audio import loudness
from siren_jax.data.captions import phrasebook
from siren_jax.weights import survey

TOP = (1, 5, 10)
_BATCH = 8
_LUFS = -23.0


def embed_audio(model: clap.Clap, paths) -> np.ndarray:
  """Embeddings [N, E] of recordings."""
  embeddings = []
  for start in range(0, len(paths), _BATCH):
    audio_BxS = np.zeros((_BATCH, SECONDS * RATE), np.float32)
    for row_S, path in zip(audio_BxS, paths[start : start + _BATCH]):
      clip_S = loudness.level(read(path), RATE, _LUFS)
      row_S[: len(clip_S)] = clip_S
    embeddings.append(np.asarray(model.encode_audio(audio_BxS)))
  return np.concatenate(embeddings)[: len(paths)]


def embed_kinds(model: clap.Clap, kinds) -> np.ndarray:
  """Mean embeddings [K, E], of length one, of the phrasings of kinds."""
  phrasings = [phrasebook.phrases(kind) for kind in kinds]
  text_QxE = survey.embed(model, [text for row in phrasings for text in row])
  ends = np.cumsum([len(row) for row in phrasings])
  mean_KxE = np.stack([x.mean(0) for x in np.split(text_QxE, ends[:-1])])
  return mean_KxE / np.linalg.norm(mean_KxE, axis=1, keepdims=True)


def hits(scores_QxN: np.ndarray, correct_QxN: np.ndarray) -> dict[str, float]:
  """Share of rows with a correct column among the best 1, 5 and 10."""
  order_QxN = np.argsort(-scores_QxN, axis=1)
  ranked_QxN = np.take_along_axis(correct_QxN, order_QxN, 1)
  return {f"top {n}": float(ranked_QxN[:, :n].any(1).mean()) for n in TOP} | {
    "rows": len(scores_QxN),
    "of": scores_QxN.shape[1],
  }


def measure(args) -> dict[str, dict[str, float]]:
  recordings = Recordings.of(args.manifest)
  known = np.isin(recordings.kinds, phrasebook.categories())
  recordings, is_held = recordings[known], recordings.folds[known] == args.fold
  trained = set(recordings.kinds[~is_held])
  held = recordings[is_held & np.isin(recordings.kinds, list(trained))]
  kinds = sorted(set(recordings.kinds))
  model = clap.load(args.clap)
  audio_NxE = embed_audio(model, held.paths)
  texts = [
    (kind, text)
    for kind in sorted(set(held.kinds))
    for text in phrasebook.held_out(kind)
  ]
  text_kinds, phrasings = map(np.array, zip(*texts, strict=True))
  text_QxE = survey.embed(model, phrasings.tolist())
  tasks = {
    "classification": (
      audio_NxE @ embed_kinds(model, kinds).T,
      held.kinds[:, None] == np.array(kinds),
    ),
    "text to audio": (
      text_QxE @ audio_NxE.T, text_kinds[:, None] == held.kinds,
    ),
    "audio to text": (
      audio_NxE @ text_QxE.T, held.kinds[:, None] == text_kinds,
    ),
  }  # fmt: skip
  rng = np.random.default_rng(0)
  return {name: hits(*pair) for name, pair in tasks.items()} | {
    f"{name}, chance": hits(rng.random(correct.shape), correct)
    for name, (_, correct) in tasks.items()
  }


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  add = parser.add_argument
  add("--manifest", type=pathlib.Path, action="append", required=True)
  add("--fold", default="4", help="held out from training")
  add("--clap", required=True, help="bundle or work directory")
  add("--json", type=pathlib.Path, help="where all figures are written")
  args = parser.parse_args()
  table = measure(args)
  print(
    f"{'%':26}" + "".join(f"{f'top {n}':>8}" for n in TOP) + "    rows      of"
  )
  for name, row in table.items():
    cells = "".join(f"{100 * row[f'top {n}']:8.1f}" for n in TOP)
    print(f"{name:26}{cells}{row['rows']:8d}{row['of']:8d}")
  if args.json:
    args.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
  main()
