"""Indexes in Qdrant."""
