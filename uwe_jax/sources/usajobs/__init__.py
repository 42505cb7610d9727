"""Duty statements of US federal vacancy questionnaires, with the job titles they stand under."""
