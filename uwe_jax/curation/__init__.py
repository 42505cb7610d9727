"""Curation of training data: describing graphs, tagging vacancies, generating text for rare skills."""
