"""New vacancy sentences, job titles and aliases for skills that have few: asked for, checked, and written as edges."""
