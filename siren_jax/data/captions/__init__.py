"""Captions from a category and measured facts: the phrase book."""
