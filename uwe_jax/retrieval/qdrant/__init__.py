"""Target spaces that an engine outside this process holds."""
