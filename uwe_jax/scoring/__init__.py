"""Scorers and losses: pure functions of token embeddings on one device."""
