"""SkillSpan: real vacancy sentences, with the spans that were marked in them or tagged with a taxonomy by name."""
