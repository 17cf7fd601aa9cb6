"""Commands on sounds: generate, encode, decode, evaluate."""
