"""What requests may say: checked, and turned into plain data."""
