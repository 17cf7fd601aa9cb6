"""Preparing data: recordings to audio sets, audio sets to code sets.

Each is a plan (what goes where), then records (work), then what was written
(`data.sets`); nothing goes back.
"""
