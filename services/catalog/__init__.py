"""Knows what is so: images, analyses, corrections, counts. Calls no other service."""
