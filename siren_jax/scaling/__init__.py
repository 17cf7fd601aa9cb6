"""Memory, traffic and time of a program on TPUs that are not there."""
