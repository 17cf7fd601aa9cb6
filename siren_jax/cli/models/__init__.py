"""Verbs that read, join and write models."""
