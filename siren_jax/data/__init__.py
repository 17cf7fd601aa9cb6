"""From sound files and words to batches. No model is known here.

A recording goes one way:

  sources      finds it, and what is known of it; reads no audio
  preparation  plans which split it goes to, and makes records of it
  encoding     makes codes and prompts of an audio set's records (Stage 1 only)
  batches      reads records in random order

`sets` is the file format between them: `preparation` and `encoding` write it,
`encoding` and `batches` read it. `captions` puts sounds into words,
`synthetic` makes sounds out of nothing, and `augment` varies sounds.
"""
