"""How good the analyzer's answers are: ``python -m bench.quality`` measures and writes docs/quality.md."""
