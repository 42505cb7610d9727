"""SkillSpan: real vacancy sentences. Its spans name no skill of a taxonomy, so they are tagged by name."""
