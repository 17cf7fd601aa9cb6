"""average models that were fine-tuned from the same base model

  siren-jax average runs/0/bundle-150 runs/1/bundle-150 \\
    --start siren-small --out my-siren

--share 0.8 keeps 80 % of the weight change made by one siren-jax align run, or
of the average over several runs. This reduces both the gains and the side
effects (such as reduced diversity) without retraining.
"""

import argparse
import dataclasses

from siren_jax.cli import runtime
from siren_jax.cli.models import export

INTERRUPTED = runtime.NOTHING_WRITTEN


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "models",
    nargs="+",
    metavar="BUNDLE",
    help="bundle, or the name of a built-in one",
  )
  add(
    "--start",
    required=True,
    help="base model (a bundle) that the BUNDLEs were fine-tuned from",
  )
  add(
    "--share",
    type=float,
    default=1.0,
    help="fraction of the average weight change to keep, above 0 (default: 1)",
  )
  add("--name", help="model name (default: name of the --out folder)")
  add("--out", required=True, metavar="DIR", help="the folder to write")


def run(args: argparse.Namespace) -> None:
  runtime.check_folder(args.out)
  from siren_jax.storage import folders
  from siren_jax.weights import bundle, model_card
  from siren_jax.weights.average import average

  out = bundle.check_new(args.out)
  start, tuned = bundle.load(args.start), list(map(bundle.load, args.models))
  model, agreement = average(start, tuned, args.share)
  model = dataclasses.replace(model, name=args.name or out.resolve().name)
  learned = "the weight update of one run"
  if len(tuned) > 1:
    print(f"mean cosine similarity of their updates: {agreement:.3f}")
    learned = (
      f"the mean weight update of {len(tuned)} runs (mean pairwise cosine"
      f" similarity {agreement:.3f})"
    )
  section = _SECTION.format(start=start.name, share=args.share, learned=learned)
  first = folders.find(args.models[0])
  notes = f"{section}\n{model_card.notes(first) or ''}"
  export.save(out, model, notes, model_card.license_of(first))


_SECTION = """## Average

{start} plus {share:g} times {learned} (siren-jax average). \
The sections below are those of the first run.
"""
