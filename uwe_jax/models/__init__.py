"""Models: encoders, their weights, what the name of a model means, and reading runs, exports and checkpoints."""
