"""Episodes as tables, as demonstrations and as pictures."""
