"""What every layer shares: configs, errors, files, text, sharding, randomness.

Array names end in their axes, `codes_BxNxT`, `x_BxTxD`; docs/design.md says
more of them (section "Axes"):

  B  batch                   K  experts, stacked (always the leading axis)
  S  audio samples           L  layers
  T  codec frames            D  model width
  N  codebooks               H  attention heads
  V  codes in a codebook     J  key-value heads
  F  codec feature width     R  query heads of one key-value head
  M  mel bands               W  window of an FFT or of attention
  P  prompt tokens           E  shared text-audio embedding width
  C  prompt width            Q  prompts to align
                             G  rollouts or candidates of each prompt
"""
