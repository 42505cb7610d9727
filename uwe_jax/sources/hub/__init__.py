"""Datasets of the Hugging Face hub, for sources of graphs and for ranking tasks."""
