"""measure generated clips against reference clips

  siren-jax evaluate --generated sounds/ --reference recordings/ --json out.json
  siren-jax evaluate --model siren-small --prompts prompts.txt \\
    --generated sounds/ --reference recordings/

  siren-jax evaluate --model my-siren --prompts audiocaps/test.csv \\
    --generated sounds/ --reference audiocaps/test.csv

Prints FAD, FD, IS, KL and CLAP score with 95 % confidence intervals. Clips with
the same name are paired (for KL); captions come from the JSON files
written by `generate` or, if the clips are given as a table, from that table.
Unusable clips are skipped and listed; metrics that are missing or based on too
few clips are noted above the results.
Files are never overwritten: a number is added to a name that is taken.

Unless published weights are given (convert them with siren-jax import-weights,
then pass --vggish, --cnn14 or --clap), the CLAP of a bundle is used instead;
metrics computed with it are comparable only with metrics computed with the CLAP
of the same bundle.

To compare a codec's reconstructions with the originals, waveform by waveform:

  siren-jax evaluate --paired --generated decoded/ --reference recordings/
"""

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from siren_jax.cli import outputs, runtime
from siren_jax.cli.sounds import make
from siren_jax.common import files
from siren_jax.common.errors import UserError
from siren_jax.common.text import read_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add("--generated", required=True, metavar="DIR", help="clips to evaluate")
  add(
    "--reference",
    required=True,
    metavar="DIR",
    help="real clips: a folder, or a table (CSV, TSV, JSONL) of them",
  )
  add(
    "--prompts",
    metavar="FILE",
    help="generate the clips first, from a file with one prompt per line or a"
    " table of captioned clips",
  )
  add(
    "--paired",
    action="store_true",
    help="also compare paired waveforms: mel, stft, si_sdr",
  )
  add(
    "--model",
    help="bundle to generate with; its CLAP is used where imported weights are"
    " not given",
  )
  add("--seconds", type=float, default=5.0, help="generated clip length")
  add("--seed", type=int, default=0, help="random seed for generation")
  add("--vggish", metavar="DIR", help="imported weights, for FAD")
  add("--cnn14", metavar="DIR", help="imported weights, for FD, IS and KL")
  add("--clap", metavar="DIR", help="imported weights, for the CLAP score")
  add(
    "--cache",
    metavar="DIR",
    help="where to cache features (default: in the user cache directory)",
  )
  add(
    "--batch-clips", type=int, metavar="N", help="clips per batch (default: 16)"
  )
  add(
    "--batch-seconds",
    type=float,
    metavar="S",
    help="maximum total audio length per batch (default: 240)",
  )
  add(
    "--batch-texts", type=int, metavar="N", help="texts per batch (default: 64)"
  )
  add("--json", metavar="FILE", help="write all metrics here")
  add("--markdown", metavar="FILE", help="write the results table here")


def run(args: argparse.Namespace) -> None:
  out_paths = _out_paths(args)
  from siren_jax.evaluation import cache, clips

  # What may fail comes before what takes long.
  batch = _batch(args)
  log = clips.Log()
  reference = clips.find(args.reference, args.generated, log)
  plan = _plan(args, reference, log) if args.prompts else None
  generated = [] if plan else _generated(args, log)
  paths = plan[1] if plan else [clip.path for clip in generated]
  _keep_captions(out_paths, [*paths, *(clip.path for clip in reference)])
  if args.paired:
    names = [clip.name for clip in generated] or [path.stem for path in paths]
    clips.check_pairs([clip.name for clip in reference], names)
  from siren_jax.common import compilation

  compilation.use_cache()
  import platformdirs
  from tqdm.auto import tqdm

  from siren_jax.evaluation import report

  panel = _panel(args, batch)
  if plan:
    prompts, paths = plan
    make.sounds(
      prompts, lambda i, *_: paths[i], args.model, args.seconds, args.seed
    )
    generated = _generated(args, log)
  results = cache.Cache(
    args.cache or platformdirs.user_cache_path("siren-jax") / "heard"
  )
  total = (len(generated) + len(reference)) * len(panel.scorers)
  with tqdm(total=total, unit="clip", disable=None) as bar:
    ours, real = (
      report.extract(side, panel, results, bar.update, log, batch)
      for side in (generated, reference)
    )
  _show(real, ours, panel, log, args.paired, out_paths)


def _batch(args: argparse.Namespace) -> Any:
  from siren_jax.evaluation.scorers import BatchConfig

  given = runtime.given(args, "batch_clips", "batch_seconds", "batch_texts")
  return BatchConfig(**{k.removeprefix("batch_"): v for k, v in given.items()})


def _panel(args: argparse.Namespace, batch: Any) -> Any:
  from siren_jax import clap
  from siren_jax.evaluation import scorers
  from siren_jax.storage import folders

  home = folders.find(args.model or None)
  return scorers.panel(
    clap.load(home), home.name, args.vggish, args.cnn14, args.clap, batch
  )


def _show(
  real: Any,
  ours: Any,
  panel: Any,
  log: Any,
  is_paired: bool,
  out_paths: dict[str, pathlib.Path],
) -> None:
  """Prints and writes the figures of references and generated clips."""
  import numpy as np

  from siren_jax.evaluation import clips, remarks, report

  figures = report.figures(real.features, ours.features, panel)
  if is_paired:
    figures |= report.means(clips.distances(real.clips, ours.clips, log))
  reference_free = report.reference_free(
    real.features, panel, np.random.default_rng(0)
  )
  rows = {
    f"generated ({len(ours.clips)})": figures,
    f"reference ({len(real.clips)})": reference_free,
  }
  shown = (rows, report.head(panel), remarks.of(real, ours, panel, log))
  texts = {
    "json": json.dumps(report.as_json(*shown), indent=2) + "\n",
    "markdown": report.markdown(*shown),
  }
  print(texts["markdown"])
  for flag, path in out_paths.items():
    with runtime.new_file(path) as new, files.replacing(new) as file:
      file.write(texts[flag].encode())


def _out_paths(args: argparse.Namespace) -> dict[str, pathlib.Path]:
  """The files to write, by flag."""
  suffixes = {"json": ".json", "markdown": ".md"}
  given = runtime.given(args, *suffixes)
  return {
    flag: runtime.check_file(path, suffixes[flag])
    for flag, path in given.items()
  }


def _generated(args: argparse.Namespace, log: Any) -> list[Any]:
  """The clips to measure, but for a folder of references among them."""
  from siren_jax.evaluation import clips

  return clips.find(args.generated, args.reference, log)


def _keep_captions(
  out_paths: dict[str, pathlib.Path], paths: Sequence[pathlib.Path]
) -> None:
  """Refuses an output in the place of a clip's JSON file."""
  json_files = {path.with_suffix(".json").resolve(): path for path in paths}
  for flag, output in out_paths.items():
    if clip := json_files.get(output.resolve()):
      raise UserError(
        f"--{flag} {output}: reserved for the caption of {clip}; choose"
        " another name"
      )


def _plan(
  args: argparse.Namespace, reference: Sequence[Any], log: Any
) -> tuple[list[str], list[pathlib.Path]]:
  """Prompts, and the files in an empty folder to make of them."""
  from siren_jax.data.sources import tables
  from siren_jax.evaluation import clips

  folder = runtime.check_folder(args.generated)
  if folder.exists() and any(folder.iterdir()):
    raise UserError(
      f"{folder} is not empty; name a new folder for the clips of --prompts"
    )
  if not tables.is_table(args.prompts):
    prompts = read_lines(args.prompts)
    if not prompts:
      raise UserError(f"{args.prompts}: no prompts in it; write one per line")
    stems = [outputs.stem(prompt, args.seed, 0) for prompt in prompts]
    return prompts, [folder / f"{stem}.wav" for stem in stems]
  same = args.prompts == args.reference
  recordings = reference if same else clips.find(args.prompts, problems=log)
  captioned = [clip for clip in recordings if clip.caption]
  if not captioned:
    raise UserError(f"{args.prompts}: no captions; add a column caption")
  for clip in recordings:
    if not clip.caption:
      log.add(f"{clip.path}: no caption in {args.prompts}; no clip is made")
  # Under the recordings' names, so that each is one of a pair.
  paths = [folder / f"{clip.name}.wav" for clip in captioned]
  return [clip.caption for clip in captioned], paths
