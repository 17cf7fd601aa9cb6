"""What every layer shares: configs, errors, sharding, randomness, text, files.

Array names end in their axes: `codes_BxNxT` is [batch, codebooks, frames]. The
legend of letters is in docs/design.md, "Axes".
"""
