"""Models kept in memory, the HTTP service, search."""
