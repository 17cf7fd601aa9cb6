"""Captions written from what is known of a sound, and the phrase book."""
