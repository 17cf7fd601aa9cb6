"""Memory, traffic and time of a program on chips that you do not have."""
