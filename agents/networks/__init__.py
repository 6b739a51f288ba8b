"""Networks of policies and value functions, and their distributions of actions."""
