"""A user's own vacancies: rows with a title, a description and optionally skills, tagged with a taxonomy's skills."""
