"""What is kept on disk: tensors, checkpoints, run configs, fingerprints."""
