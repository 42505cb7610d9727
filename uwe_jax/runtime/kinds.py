"""The node kinds: skills on the left of every graph, one of the other kinds on the right."""

SKILL = "skill"
GRAPH_KINDS = ("job", "vacancy", "alias")
NODE_KINDS = (SKILL, *GRAPH_KINDS)
QUERY, TARGET = "query", "target"  # texts that a teacher has scored, which are in no graph
