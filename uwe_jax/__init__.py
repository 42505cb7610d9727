"""Unified Work Embeddings in JAX/Flax: one bi-encoder that ranks work-domain text for work-domain text."""

__version__ = "0.1.0"
