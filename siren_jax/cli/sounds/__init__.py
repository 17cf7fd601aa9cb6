"""Commands for sounds: generate, kinds, encode, decode, evaluate, demo."""
