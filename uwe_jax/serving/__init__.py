"""HTTP service and its page."""
