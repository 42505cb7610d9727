"""A user's own vacancies: titles, descriptions and optionally skills, tagged with the skills of a taxonomy."""
