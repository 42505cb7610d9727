"""Families of encoders: what each has of its own, one module per family."""
