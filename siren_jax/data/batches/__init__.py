"""Batches for training: reading order, crops, augmentation."""
