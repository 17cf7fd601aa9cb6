"""`siren-jax VERB ...`: picks the verb, turns errors into one line each."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import siren_jax
from siren_jax.common.errors import UserError

# A verb is a module here with `add_arguments(parser)` and `run(args)`; the
# first line of its docstring is its help. Modules import what is slow in `run`.
VERBS = (
  "generate",
  "prepare-data",
  "train-codec",
  "train-clap",
  "train",
  "align",
  "compile-check",
  "evaluate",
  "import-weights",
  "export",
  "average",
  "encode",
  "decode",
  "inspect",
)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command; returns the exit status (2: the input is at fault)."""
  try:
    args = _parse(sys.argv[1:] if argv is None else list(argv))
    return args.run(args) or 0
  except UserError as error:
    return _fail(str(error))
  except OSError as error:
    if error.filename is None:
      return _fail(f"{error.strerror or error}; check the disk and try again")
    return _fail(f"{error.filename}: {error.strerror}; check the path")
  except KeyboardInterrupt:
    print(
      "siren-jax: interrupted; a training run continues from its last "
      "checkpoint when the same command is run again",
      file=sys.stderr,
    )
    return 130


def _fail(message: str) -> int:
  print(f"siren-jax: error: {' '.join(message.split())}", file=sys.stderr)
  return 2


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    raise UserError(f"{message}; see {self.prog} --help")


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = _Parser(
    prog="siren-jax",
    description="Text to audio, and everything needed to train it.",
    allow_abbrev=False,
  )
  parser.add_argument(
    "--version", action="version", version=f"siren-jax {siren_jax.__version__}"
  )
  verbs = parser.add_subparsers(metavar="VERB", required=True, dest="verb")
  for name in VERBS:
    module = importlib.import_module(f"siren_jax.cli.{name.replace('-', '_')}")
    summary, _, details = module.__doc__.partition("\n")
    verb = verbs.add_parser(
      name,
      help=summary,
      description=summary,
      epilog=details.strip(),
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
    )
    module.add_arguments(verb)
    verb.set_defaults(run=module.run)
  args, rest = parser.parse_known_args(argv)
  if rest and not (hasattr(args, "config") and rest[0].startswith("--config.")):
    parser.error(f"unknown argument {rest[0]!r}")
  args.overrides = rest
  return args
