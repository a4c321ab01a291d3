"""The operator's page: rendered here, refreshed by a small script, nothing from other hosts."""
