"""Encoded texts, and ranking them: what evaluation, the index and the service stand on."""
