"""Made-up sounds, what they claim, and the captions that say so."""
