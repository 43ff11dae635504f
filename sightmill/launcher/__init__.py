"""Runs the whole suite on one machine: the same processes, protocols and settings as on a cluster."""
