"""Tables of images as files."""
