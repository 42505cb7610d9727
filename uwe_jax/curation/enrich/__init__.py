"""Generation of vacancy sentences, job titles and aliases for skills that have few."""
