"""Verbs of training: prepare-data, the train verbs, align, compile-check."""
