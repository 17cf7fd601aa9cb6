"""Sound files and arrays: reading, writing, resampling, STFT, mel, loudness."""
