"""Datasets of the paper's authors on the Hugging Face hub."""
