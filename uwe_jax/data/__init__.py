"""Training data: graphs, splits, sampling, tokens and the Grain pipeline. NumPy only, never imports jax."""
