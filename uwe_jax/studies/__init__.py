"""Grids of training runs that are measured alike: one cell per run, each in a process of its own."""
