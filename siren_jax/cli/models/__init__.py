"""Commands on models: export, average, import-weights, inspect."""
