"""Within which limits a provider is asked: rates, concurrency, breakers, and whose turn it is."""
