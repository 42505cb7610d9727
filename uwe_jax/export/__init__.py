"""Export of a model as a folder for PyTorch, transformers and sentence-transformers."""
