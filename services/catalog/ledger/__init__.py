"""Batches, chunks and items: what is to be done, and what became of it."""
