"""BLIP: as a service over HTTP, and as a model in this process."""
