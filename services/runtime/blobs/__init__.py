"""The blob port: bytes under a key, in a folder or a bucket."""
