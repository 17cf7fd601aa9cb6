"""Where recordings and captions come from: folders, tables, corpora."""
