"""Assembly: train step and state, held-out evaluation and checkpoints."""
