"""What is on disk: folders, components, checkpoints, run configs, tensors."""
