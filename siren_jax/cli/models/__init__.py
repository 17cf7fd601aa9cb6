"""Commands for models: export, average, import-weights, inspect."""
