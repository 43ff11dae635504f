"""What captions cost, and captions that need not be asked for again."""
