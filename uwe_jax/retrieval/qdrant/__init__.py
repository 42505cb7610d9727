"""Target spaces in Qdrant."""
