"""Competition: users and providers who are each after their own, and what becomes of the market."""
