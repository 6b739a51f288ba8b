"""What papers have published, beside what is measured here: one module a paper."""
