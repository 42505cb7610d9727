"""What `uwe-jax benchmark` measures, and with what: timing, memory, device facts, peers and tables."""
