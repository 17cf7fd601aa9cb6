"""Experiments: all settings of a training run, and how its parts are built."""
