"""Duty statements of US federal vacancy questionnaires, with their job titles."""
