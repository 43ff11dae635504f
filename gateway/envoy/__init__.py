"""The configuration of Envoy, the edge in front of all services, built from options and the contract."""
