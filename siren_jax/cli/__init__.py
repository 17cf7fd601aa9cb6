"""The command line: one module per command, from flags to calls, no maths."""
