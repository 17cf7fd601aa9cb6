"""Sets of records on disk: their schema, reading, writing, contents."""
