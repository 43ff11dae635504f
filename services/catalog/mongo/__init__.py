"""The catalog on MongoDB."""
