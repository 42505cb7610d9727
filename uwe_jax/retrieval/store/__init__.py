"""Target spaces in host memory and on disk."""
