"""Training: step, loop, writing checkpoints, held-out evaluation, log and trace."""
