"""Verbs of training: preparing data, and running experiments."""
