"""Memory, traffic and time of a program on chips that are not there."""
