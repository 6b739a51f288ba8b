"""What clients learn: extractor, personal experts, gates, and the baselines."""
