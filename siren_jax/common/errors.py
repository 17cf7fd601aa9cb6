"""The one exception that means: the input is at fault, not the program."""


class UserError(ValueError):
  """Bad input, told in one line: the value, the limit and the remedy.

  The command line prints the message without a traceback and exits with 2.
  """
