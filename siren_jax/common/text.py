"""Text that people bring, and text that can be shown to them."""


def is_text(value: str) -> bool:
  """Whether UTF-8 can hold it: no halves of surrogate pairs."""
  try:
    value.encode()
  except UnicodeEncodeError:
    return False
  return True


def printable(value: object) -> str:
  """`value` in one line: what does not print, such as "\\n", is escaped."""
  return "".join(
    c if c.isprintable() else c.encode("unicode_escape").decode()
    for c in str(value)
  )
