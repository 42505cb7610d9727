"""Ranking over HTTP."""
