"""Results of the benchmark as tables, figures and a page."""
