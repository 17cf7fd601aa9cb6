"""From sound files and captions to batches, independent of models.

A recording passes through:

  sources      finds it and its metadata; reads no audio
  preparation  assigns it to a split, and makes records of it
  encoding     makes codes and prompts of an audio set's records (Stage 1 only)
  batches      reads records in random order

`sets` is the file format between them: `preparation` and `encoding` write it,
`encoding` and `batches` read it. `captions` describes sounds, `synthetic`
synthesises sounds, and `augment` varies sounds.
"""
