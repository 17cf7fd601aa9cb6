"""What every layer shares: configs, errors, files, text, sharding, randomness.

Array names end in their axes, `codes_BxNxT`: docs/design.md, Axes, has the
legend.
"""
