"""HTTP for clients that do not speak gRPC: multipart uploads, the older dialects, events, the web UI.

Translates and nothing else: no state, no rules of its own, no store, no queue.
"""
