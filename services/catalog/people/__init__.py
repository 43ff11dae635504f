"""People: faces that belong together, and what was decided of them."""
