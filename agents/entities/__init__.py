"""Networks that read a market entity by entity: what they read, how, and how they score choices."""
