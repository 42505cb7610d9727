"""Benchmarks of `uwe-jax benchmark`: timing, memory, device facts and peers."""
