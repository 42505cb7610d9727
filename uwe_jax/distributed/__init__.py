"""Several processes of one training: how they find each other, notice that one is gone, and stop together."""
