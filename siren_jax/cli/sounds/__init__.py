"""Verbs that make, code and measure sounds."""
