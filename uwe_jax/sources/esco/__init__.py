"""ESCO, the European classification of skills and occupations, from the portal's own downloads."""
