"""Batches of a prepared set: their content, their order, resuming."""
