"""Preparing data: recordings to audio sets, audio sets to code sets."""
