"""What outlives the process: captions and costs, kept by the catalog."""
