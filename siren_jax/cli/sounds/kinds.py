"""list the kinds of sound that a model knows, with a prompt for each

  siren-jax kinds
  siren-jax kinds drum
  siren-jax kinds --group birds --json

A kind matches WORD if its name, group or prompt contains it. The kinds
are those of the model's training recordings; `generate` accepts any prompt, and
warns if the prompt is far from all of them.
"""

import argparse
import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from siren_jax.cli.sounds import flags
from siren_jax.common.errors import UserError

_WIDTH = 79


def add_arguments(parser: argparse.ArgumentParser) -> None:
  add = parser.add_argument
  add(
    "words",
    type=str,
    nargs="*",
    metavar="WORD",
    help="only kinds that match every WORD",
  )
  add("--group", type=str, help="only kinds in this group")
  add("--model", help=flags.MODEL_HELP)
  add("--json", action="store_true", help="print all details as JSON")


def run(args: argparse.Namespace) -> None:
  from siren_jax.storage import folders
  from siren_jax.weights import repertoire

  folder = folders.identify(args.model or None)
  known = repertoire.load(folder.path)
  if known is None:
    raise UserError(
      f"{folder.path.name} does not say what it was trained on; make it again"
      " with siren-jax export --manifest"
    )
  groups = _chosen(args, known.groups)
  kinds = [kind for group in groups.values() for kind in group]
  if args.json:
    print(json.dumps([dataclasses.asdict(k) for k in kinds], indent=2))
    return
  for name, group in groups.items():
    print(f"{name} ({len(group)})")
    _print_table(group)
    print()
  print(f"{len(kinds)} of {len(known.kinds)} kinds, each with a prompt")
  model = f" --model {shlex.quote(args.model)}" if args.model else ""
  prompt = shlex.quote(kinds[0].example)
  print(f"try next: siren-jax generate {prompt}{model}")


def _chosen(
  args: argparse.Namespace, groups: Mapping[str, Sequence[Any]]
) -> dict[str, list[Any]]:
  """The selected kinds by group, without empty groups.

  Raises:
    UserError: there are none.
  """
  words = " ".join(args.words).lower().split()

  def is_chosen(kind: Any) -> bool:
    text = f"{kind.name} {kind.group} {kind.example}".lower()
    return all(word in text for word in words)

  if args.group is not None and args.group not in groups:
    raise UserError(
      f"--group {args.group}: no such group; there are {', '.join(groups)}"
    )
  chosen = {
    name: list(filter(is_chosen, group))
    for name, group in groups.items()
    if args.group in (None, name)
  }
  chosen = {name: group for name, group in chosen.items() if group}
  if not chosen:
    raise UserError(
      f"no kind with {' and '.join(map(repr, words))}; leave the words out to"
      " see all"
    )
  return chosen


def _print_table(kinds: Sequence[Any]) -> None:
  """Prints a line per kind: its name and prompt, truncated at 79 columns."""
  width = max(len(kind.name) for kind in kinds)
  for kind in kinds:
    line = f"  {kind.name:{width}}  {kind.example}"
    print(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}...")
