"""measure generated clips against reference clips

  siren-jax evaluate --generated sounds/ --reference recordings/ --json out.json
  siren-jax evaluate --model nano-stage1 --prompts prompts.txt \\
    --generated sounds/ --reference recordings/

  siren-jax evaluate --model my-siren --prompts audiocaps/test.csv \\
    --generated sounds/ --reference audiocaps/test.csv

Prints FAD, FD, IS, KL and CLAP score with intervals. Clips of the same name
are pairs (KL); captions are in the JSON files that generate writes, or in the
table. Without published weights (siren-jax import-weights, then --vggish,
--cnn14, --clap) the CLAP of a bundle judges; its figures compare only with
others of that bundle.

A codec's renderings are compared with what they are of by their samples:

  siren-jax evaluate --paired --generated decoded/ --reference recordings/
"""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from siren_jax.cli import generate, outputs, runtime
from siren_jax.common import files
from siren_jax.common.errors import UserError
from siren_jax.common.text import read_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("--generated", required=True, metavar="DIR", help="clips to measure")
  add(
    "--reference",
    required=True,
    metavar="DIR",
    help="real clips: a folder, or a table (CSV, JSONL) of them",
  )
  add(
    "--prompts",
    metavar="FILE",
    help="make --generated first: prompts, one a line, or a table of clips",
  )
  add(
    "--paired",
    action="store_true",
    help="also distances of the waveforms of pairs: mel, stft, si_sdr",
  )
  add("--model", help="bundle that makes them, and whose CLAP fills in")
  add("--seconds", type=float, default=5.0, help="of clips that are made")
  add("--seed", type=int, default=0, help="of clips that are made")
  add("--vggish", metavar="DIR", help="imported weights, for FAD")
  add("--cnn14", metavar="DIR", help="imported weights, for FD, IS and KL")
  add("--clap", metavar="DIR", help="imported weights, for the CLAP score")
  add("--json", metavar="FILE", help="write all figures here")
  add("--markdown", metavar="FILE", help="write the table here")


def run(args: argparse.Namespace) -> None:
  outputs = [
    (runtime.check_file(path, suffix), make)
    for path, suffix, make in (
      (args.json, ".json", _json),
      (args.markdown, ".md", None),
    )
    if path
  ]
  from siren_jax.evaluation import clips

  # What may fail comes before what takes long.
  reference = clips.find(args.reference, apart=args.generated)
  plan = _plan(args, reference) if args.prompts else None
  runtime.use_compilation_cache()
  import numpy as np
  import platformdirs
  import tqdm

  from siren_jax import clap
  from siren_jax.evaluation import report, scorers
  from siren_jax.weights import bundle

  home = bundle.find(args.model)
  panel = scorers.panel(
    clap.load(home), home.name, args.vggish, args.cnn14, args.clap
  )
  if plan:
    prompts, paths = plan
    generate.make(
      prompts, lambda i, _: paths[i], args.model, args.seconds, args.seed
    )
  generated = clips.find(args.generated)
  distances = clips.distances(reference, generated) if args.paired else {}
  cache = platformdirs.user_cache_path("siren-jax") / "heard"
  total = (len(generated) + len(reference)) * len(panel.scorers)
  with tqdm.tqdm(total=total, unit="clip", disable=None) as bar:
    ours, real = (
      _heard(found, panel, cache, bar.update)
      for found in (generated, reference)
    )
  figures = report.figures(real, ours, panel)
  rows = {
    f"generated ({len(generated)})": figures | report.means(distances),
    f"reference ({len(reference)})": report.alone(
      real, panel, np.random.default_rng(0)
    ),
  }
  told = report.markdown(rows, report.head(panel))
  print(told)
  for path, make in outputs:
    text = make(report.as_json(rows, report.head(panel))) if make else told
    with files.replacing(path) as file:
      file.write(text.encode())


def _json(values) -> str:
  return json.dumps(values, indent=2) + "\n"


def _heard(folder_clips, panel, cache, progress):
  """What the panel hears in a folder; who has several places hears once."""
  from siren_jax.evaluation import clips, report

  by_scorer = {
    scorer.name: clips.hear(folder_clips, scorer, cache, progress)
    for scorer in panel.scorers
  }
  return report.Heards(
    names=[clip.name for clip in folder_clips],
    windows=by_scorer[panel.windows.name],
    tagger=by_scorer[panel.tagger.name],
    text=by_scorer[panel.text.name],
    captions=[clip.caption for clip in folder_clips],
  )


def _plan(
  args: argparse.Namespace, reference: Sequence[Any]
) -> tuple[list[str], list[pathlib.Path]]:
  """Prompts, and the files in an empty folder to make of them."""
  from siren_jax.evaluation import clips

  folder = runtime.check_folder(args.generated)
  if folder.exists() and any(folder.iterdir()):
    raise UserError(
      f"{folder} is not empty; name a new folder for the clips of --prompts"
    )
  if not clips.is_table(args.prompts):
    prompts = read_lines(args.prompts)
    if not prompts:
      raise UserError(f"{args.prompts}: no prompts in it; write one a line")
    stems = [outputs.stem(prompt, args.seed, 0) for prompt in prompts]
    return prompts, [folder / f"{stem}.wav" for stem in stems]
  same = args.prompts == args.reference
  told = [
    c for c in (reference if same else clips.find(args.prompts)) if c.told
  ]
  if not told:
    raise UserError(f"{args.prompts}: no captions; add a column caption")
  # Under the recordings' names, so that each is one of a pair.
  paths = [folder / f"{clip.name}.wav" for clip in told]
  return [clip.told for clip in told], paths
