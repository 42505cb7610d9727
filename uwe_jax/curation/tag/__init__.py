"""Tagging of vacancies with skills, by name and by a model."""
