"""Sources of training graphs: one package per publisher, tables, and the mixture of several sources."""
