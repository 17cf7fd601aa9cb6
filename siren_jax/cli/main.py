"""`siren-jax COMMAND ...`: dispatches; reports each error in one line."""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import siren_jax
from siren_jax.cli import runtime, terminal
from siren_jax.common import extras
from siren_jax.common.config import check_number
from siren_jax.common.errors import UserError

# A verb is a module of a package here, with `add_arguments(parser)` and
# `run(args)`; the first line of its docstring is its help, `INTERRUPTED` says
# what a signal leaves behind, and `EXTRA` names the extra it requires. Slow
# imports belong in `run`.
VERBS = {
  "generate": "sounds",
  "kinds": "sounds",
  "prepare-data": "runs",
  "train-codec": "runs",
  "train-clap": "runs",
  "train": "runs",
  "align": "runs",
  "compile-check": "runs",
  "evaluate": "sounds",
  "import-weights": "models",
  "export": "models",
  "average": "models",
  "encode": "sounds",
  "decode": "sounds",
  "demo": "sounds",
  "inspect": "models",
}

_INTERRUPTED = (
  "finished files are complete; run the same command again for the rest"
)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command.

  Returns:
    The exit status: 2 for an error in the input, 128 + N after signal N.
  """
  with terminal.attached():
    try:
      return _run(sys.argv[1:] if argv is None else list(argv))
    except BrokenPipeError:  # such as `siren-jax inspect | head -1`
      return 128 + signal.SIGPIPE
    finally:
      terminal.drop_unwritable()


def _run(argv: list[str]) -> int:
  """Runs one command; reports in one line what ended it."""
  args = argparse.Namespace(interrupted=_INTERRUPTED)
  try:
    try:
      args = _parse(argv)
      if args.extra:
        extras.check(args.extra)
      return args.run(args) or 0
    finally:
      terminal.flush()
  except UserError as error:
    return _fail(str(error))
  except BrokenPipeError:
    raise
  except OSError as error:
    if error.filename is None:
      return _fail(f"{error.strerror or error}; check the disk and try again")
    return _fail(f"{error.filename}: {error.strerror}; check the path")
  except KeyboardInterrupt as stop:
    notes = getattr(stop, "__notes__", None) or [args.interrupted]
    terminal.report(f"interrupted; {'; '.join(notes)}")
    return 128 + getattr(stop, "number", signal.SIGINT)
  except Exception as error:
    if not _is_out_of_memory(error):
      raise  # a bug
    reason = (str(error).splitlines() or ["size unknown"])[0]
    return _fail(f"out of memory ({reason}); {_memory_hint(args)}")


def _fail(message: str) -> int:
  terminal.report(f"error: {message}")
  return 2


def _is_out_of_memory(error: Exception) -> bool:
  if isinstance(error, MemoryError):
    return True
  jax = sys.modules.get("jax")  # not JAX's error if it is not imported
  return (
    jax is not None
    and isinstance(error, jax.errors.JaxRuntimeError)
    and "RESOURCE_EXHAUSTED" in str(error)
  )


def _memory_hint(args: argparse.Namespace) -> str:
  """Flags of this command that reduce its memory."""
  names = ("num_samples", "candidates", "seconds", "views", "frames")
  flags = [f"--{n.replace('_', '-')}" for n in names if hasattr(args, n)]
  flags += ["--config.train.batch_size"] if hasattr(args, "config") else []
  how = f" by {', '.join(flags)}" if flags else ""
  return f"ask for less{how}, or take a machine with more memory"


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    raise UserError(f"{message}; see {self.prog} --help")


class _VerbParser(_Parser):
  """Arguments are paths unless they have another `type`."""

  def __init__(self, **settings: Any):
    super().__init__(**settings)
    self.register("type", None, runtime.path)


def _parse(argv: list[str]) -> argparse.Namespace:
  parser = _Parser(
    prog="siren-jax",
    description="Text-to-audio generation and training.",
    allow_abbrev=False,
  )
  parser.add_argument(
    "--version", action="version", version=f"siren-jax {siren_jax.__version__}"
  )
  verbs = parser.add_subparsers(
    metavar="COMMAND", required=True, dest="verb", parser_class=_VerbParser
  )
  for name, package in VERBS.items():
    module = importlib.import_module(
      f"siren_jax.cli.{package}.{name.replace('-', '_')}"
    )
    summary, _, details = (module.__doc__ or "").partition("\n")
    verb = verbs.add_parser(
      name,
      help=summary,
      description=summary,
      epilog=details.strip("\n"),
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
    )
    module.add_arguments(verb)
    verb.set_defaults(
      run=module.run,
      interrupted=getattr(module, "INTERRUPTED", _INTERRUPTED),
      extra=getattr(module, "EXTRA", None),
    )
  args, rest = parser.parse_known_args(argv)
  if rest and not (hasattr(args, "config") and rest[0].startswith("--config.")):
    parser.error(f"unknown argument {rest[0]!r}")
  for name, value in vars(args).items():
    if isinstance(value, int | float):
      check_number(f"--{name.replace('_', '-')} {value}", value)
  args.overrides = rest
  return args
