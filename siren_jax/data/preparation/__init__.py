"""Recordings to an audio set: a plan, then records, then what was written."""
