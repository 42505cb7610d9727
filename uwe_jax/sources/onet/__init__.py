"""O*NET, the United States' database of occupations, from its text download."""
