"""Indexes in host memory and on disk."""
