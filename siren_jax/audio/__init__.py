"""Sound as arrays: files, resampling, spectra, mel bands, loudness."""
