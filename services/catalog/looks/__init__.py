"""How images look: similar ones, and copies."""
