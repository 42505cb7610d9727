"""SkillSpan: real vacancy sentences, with their annotated spans or tagged with a taxonomy by name."""
