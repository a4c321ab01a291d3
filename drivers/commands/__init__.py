"""Commands that need the drivers."""
