"""Made-up sounds and the captions that are true of them."""
