"""Ranking tasks: WorkBench's, further target spaces, and a user's own."""
