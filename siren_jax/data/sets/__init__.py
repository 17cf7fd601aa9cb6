"""Audio sets and code sets on disk: schema, writer, reader, index, contents."""
