"""Verbs on sounds: generate, encode, decode, evaluate."""
