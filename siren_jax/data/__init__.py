"""From sound files and words to batches. No model is known here.

A recording goes one way:

  sources      finds it, and what is known of it; reads no audio
  preparation  plans which split it goes to, and makes records of it
  sets         writes them as an audio set, and reads that
  preparation  encodes an audio set as a code set, which `sets` writes
  batches      reads a set in random order

`captions` puts sounds into words, `synthetic` makes sounds out of nothing, and
`augment` varies sounds.
"""
