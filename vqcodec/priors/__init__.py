"""Which frequency table codes which index: integers only."""
