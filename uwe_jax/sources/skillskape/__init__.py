"""SkillSkape: synthetic vacancy sentences with the ESCO skills in them."""
