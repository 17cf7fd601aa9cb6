"""Weights in and out: release bundles and other people's formats."""
