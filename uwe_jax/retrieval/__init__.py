"""Trained models in use: loading them, ranking with them, explaining a score."""
