"""Studies of several models: transfer between graphs, ablations and benchmarks."""
