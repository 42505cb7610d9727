"""Mixtures of several sources: one set of graphs over one list of skills, with the provenance of every edge."""
