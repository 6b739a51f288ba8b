"""The benchmark: what is compared, and how its runs are made."""
