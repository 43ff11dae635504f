"""A catalog copied from one store to the other."""
