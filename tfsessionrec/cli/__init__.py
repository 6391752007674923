"""The commands; the only room that knows all of the others."""
