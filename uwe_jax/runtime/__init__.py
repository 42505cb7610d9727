"""Ground floor: settings, errors, progress, metric writing and ranking metrics. Imports no other room."""
