"""What there is to prepare: recordings and captions of folders and tables."""
