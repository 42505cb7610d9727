"""Retrieval with a trained model: ranking, explanations, indexes on disk and in Qdrant."""
