"""Training commands: prepare-data, the train commands, align, compile-check."""
