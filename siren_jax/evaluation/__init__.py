"""How good generated sound is, by the measures that the field compares."""
