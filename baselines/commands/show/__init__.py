"""A market and its policies, to read and to watch."""
