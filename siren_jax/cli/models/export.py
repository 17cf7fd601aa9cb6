"""combine trained parts into a bundle

  siren-jax export --experts runs/experts --name my-siren --out my-siren \\
    --notes data_and_licences.md

The bundle is one folder that `siren-jax generate --model` and
`siren_jax.load` read. The codec and CLAP are those used to prepare the experts'
training data or, if --experts is a bundle, those in that bundle; --codec and
--clap choose others. Imported experts need both flags. The sampling defaults of
`generate` come from the training run's config (`--config.generate`) or from the
--experts bundle, unless a flag overrides them.

--push uploads the folder to the Hugging Face Hub, where
`--model hub:OWNER/NAME` finds it:

  siren-jax export --experts mine --out mine-again --push hub:OWNER/NAME

Pass every manifest or folder that was given to prepare-data, each with its own
--manifest. The bundle then lists the kinds of sound it knows (siren-jax kinds)
and the authors of the recordings, and `generate` warns when a prompt is far
from all of these kinds.

To export the experts for use with the paper authors' code:

  siren-jax export --experts runs/experts --format siren-stage1 --out theirs
"""

import argparse
import dataclasses
import pathlib
import shlex
from typing import Any

from siren_jax.cli import runtime
from siren_jax.common.errors import UserError, about
from siren_jax.common.text import read_text

INTERRUPTED = runtime.NOTHING_WRITTEN
_OF_BUNDLES = (
  "codec",
  "clap",
  "name",
  "notes",
  "license",
  "push",
  "max_seconds",
  "candidates",
  "manifest",
  "validation_fold",
  "every_kind",
  "far_threshold",
  "quality",
)
_PART_HELP = "work directory, bundle, or the name of a built-in bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "--experts",
    required=True,
    metavar="DIR",
    help="work directory, bundle, name of a built-in bundle, or folder written"
    " by import-weights",
  )
  add(
    "--format",
    choices=("bundle", "siren-stage1"),
    default="bundle",
    help="siren-stage1: experts only, in the paper authors' file format",
  )
  add("--codec", metavar="DIR", help=_PART_HELP)
  add("--clap", metavar="DIR", help=_PART_HELP)
  add("--name", help="model name (default: name of the --out folder)")
  add("--out", required=True, metavar="DIR", help="the folder to write")
  add(
    "--notes",
    metavar="FILE",
    help="Markdown for the model card: data, licences, authors, limitations",
  )
  add(
    "--license",
    type=str,
    metavar="NAME",
    help="licence of the weights, as a Hub identifier such as apache-2.0"
    " (default: that of the --experts bundle)",
  )
  add(
    "--push",
    type=str,
    metavar="hub:OWNER/NAME[@BRANCH]",
    help="also upload the bundle; requires hf auth login. A new repository is"
    " public",
  )
  add(
    "--manifest",
    action="append",
    metavar="PATH",
    help="manifest or folder of the training data; repeatable (default: keep"
    " the kinds of the --experts bundle)",
  )
  add(
    "--validation-fold",
    metavar="FOLD",
    help="fold of the manifests that was held out (default: the last)",
  )
  add(
    "--every-kind",
    action="store_true",
    default=None,
    help="set this if prepare-data was run with --every-kind (which adds kinds"
    " found only in the validation fold to the training split)",
  )
  add(
    "--far-threshold",
    type=float,
    help="a prompt counts as far from all kinds if its similarity margin is"
    " below this; benchmarks/far_prompts.py finds a suitable value",
  )
  add(
    "--quality",
    metavar="JSON",
    help="JSON file with the fraction of each kind's generated clips that a"
    " classifier recognises",
  )
  add(
    "--max-seconds",
    type=float,
    help="length of the longest training sound (default: from the run's"
    " config)",
  )
  add(
    "--candidates",
    type=int,
    help="default for generate --candidates (if omitted: from the run's"
    " config)",
  )
  add(
    "--temperature",
    type=float,
    help="default for generate --temperature (if omitted: from the run's"
    " config); the next three flags work the same way",
  )
  add("--top-k", type=int)
  add("--top-p", type=float)
  add("--guidance", type=float)


def run(args: argparse.Namespace) -> None:
  runtime.check_folder(args.out)
  notes = read_text(args.notes) if args.notes else None
  from siren_jax.storage import folders, hub
  from siren_jax.weights import assembly, bundle, model_card

  out = bundle.check_new(args.out)
  if args.push:
    hub.check_push(args.push)
  folder = folders.identify(args.experts)
  if args.format == "siren-stage1":
    _save_theirs(args, folder.path, out)
    return
  model = assembly.assemble(
    folder.path,
    args.name or out.resolve().name,
    codec_folder=args.codec,
    clap_folder=args.clap,
    **runtime.given(args, "max_seconds", "candidates"),
  )
  changed = runtime.sampling(args)
  model = dataclasses.replace(
    model,
    sampling=dataclasses.replace(model.sampling, **changed),
    repertoire=_repertoire(args, model),
  )
  license = args.license
  if folder.kind is folders.FolderKind.BUNDLE:
    notes = notes or model_card.notes(folder.path)
    license = license or model_card.license_of(folder.path)
  save(out, model, notes, license, args.push)


def _repertoire(args: argparse.Namespace, model: Any) -> Any:
  """The repertoire of the bundle: from the manifests, or unchanged."""
  from siren_jax.common import files

  repertoire = model.repertoire
  of_manifests = ("validation_fold", "every_kind")
  if args.manifest:
    from siren_jax.data.preparation.config import AudioConfig
    from siren_jax.weights import survey

    config = AudioConfig(**runtime.given(args, *of_manifests))
    repertoire = survey.of_manifests(args.manifest, model.clap, config)
  for name in runtime.given(args, *of_manifests, "far_threshold", "quality"):
    if repertoire is None or (name in of_manifests and not args.manifest):
      raise UserError(
        f"--{name.replace('_', '-')}: needs --manifest; give the manifests the"
        " model was trained on"
      )
  repertoire = repertoire and dataclasses.replace(
    repertoire, **runtime.given(args, "far_threshold")
  )
  if args.quality:
    shares = files.read_json(args.quality, 'give JSON such as {"rain": 0.9}')
    with about(args.quality):
      repertoire = repertoire.measured(shares)
  return repertoire


def _save_theirs(
  args: argparse.Namespace, folder: pathlib.Path, out: pathlib.Path
) -> None:
  from siren_jax.weights import assembly, siren_stage1

  for name in runtime.given(args, *_OF_BUNDLES, *runtime.SAMPLING_FLAGS):
    raise UserError(
      f"--{name.replace('_', '-')} with --format siren-stage1: the authors'"
      " format stores only the experts; leave the flag out"
    )
  trained = assembly.load_experts(folder)
  siren_stage1.save(out, trained.config, trained.params)
  print(f"{out}: {trained.config.num_experts} experts in the authors' format")
  print(f"try next: siren-jax import-weights siren-stage1 {out} --out DIR")


def save(
  out: pathlib.Path,
  model: Any,
  notes: str | None,
  license: str | None,
  push: str | None = None,
) -> None:
  """Writes a bundle with its card, and prints its path.

  Args:
    notes, license: see `model_card.render`.
    push: name on the hub to upload it to.
  """
  from siren_jax.storage import hub
  from siren_jax.weights import bundle, model_card

  bundle.save(out, model, model_card.render(model, notes, license, push))
  size = sum(p.stat().st_size for p in out.iterdir())
  print(f"{out}: {size / 1e6:.1f} MB")
  if push:
    runtime.print_status(f"uploading to {push} ...")
    print(hub.push(out, push))
  print_next_command(push or out)


def print_next_command(model: str | pathlib.Path) -> None:
  """Prints the command that makes a sound with this model."""
  name = shlex.quote(str(model))
  print(f'try next: siren-jax generate "a dog barking" --model {name}')
