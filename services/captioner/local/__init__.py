"""Words from measurements."""
