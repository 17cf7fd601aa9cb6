"""From sound files and words to batches.

`sources` finds recordings, `prepare` turns them into data sets on disk
(written by `builder`), `pipeline` reads those as batches and `augment` varies
them. `synthetic` makes sounds out of nothing; `describe` and `phrasebook` put
recordings into words.
"""
