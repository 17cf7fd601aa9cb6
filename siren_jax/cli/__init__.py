"""The command line: one module a verb, flags to dataclasses, no maths."""
