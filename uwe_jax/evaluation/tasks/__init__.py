"""Ranking tasks to measure a model with: WorkBench's six, further target spaces, and a user's own."""
