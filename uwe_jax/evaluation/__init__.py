"""Measuring rankings: what can rank, and how well it does on tasks."""
