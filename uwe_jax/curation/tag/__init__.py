"""Tagging a user's vacancies: by name, then by a model, into a folder of edges."""
