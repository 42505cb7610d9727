"""SkillSkape: synthetic vacancy sentences with their ESCO skills."""
