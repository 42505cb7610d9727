"""Ground floor: errors, exit codes, files and locks, remote files, logging and progress, tables, reading of options."""
