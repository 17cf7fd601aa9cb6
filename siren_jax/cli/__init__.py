"""The command line: one module a verb, from flags to calls, no maths."""
