"""What every layer shares: configs, sharding, randomness, checkpoints, logs.

Shape legend. Array names end in their axes, `codes_BxNxT`, `x_BxTxD`:

  B  batch                 K  experts, stacked (always the leading axis)
  S  audio samples         L  layers
  T  codec frames          D  model width
  N  codebooks             H  attention heads
  V  codes in a codebook   P  prompt tokens
  F  codec feature width   C  prompt width
  M  mel bands             E  shared text-audio embedding width
  Q  prompts to align      G  rollouts of each; in attention, key-value heads
"""
