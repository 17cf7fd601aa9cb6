"""Sources of data sets: recordings and captions of folders and tables."""
