"""Facts: read a host, one fact a subject, one remote command a fact."""
