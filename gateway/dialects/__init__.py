"""One file per older service whose clients keep working; each says only what differs."""
