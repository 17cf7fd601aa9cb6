"""Metrics of generated sound: FAD, FD, IS, KL, CLAP score, with intervals."""
