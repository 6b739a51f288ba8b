"""From a question to its answer: endpoints with their limits, the store of calls, the budget."""
