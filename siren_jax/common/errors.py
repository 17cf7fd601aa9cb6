"""The exception for errors in the input, as opposed to the program."""

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
  """Bad input, in one line: the value, the limit and the remedy.

  The command line prints the message without a traceback and exits with 2.
  """


@contextlib.contextmanager
def about(subject: object) -> Iterator[None]:
  """Puts `subject`, such as a file, before the message of a UserError."""
  try:
    yield
  except UserError as error:
    raise UserError(f"{subject}: {error}") from error
