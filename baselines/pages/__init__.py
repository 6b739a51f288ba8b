"""Pages for people: scenarios, runs, episodes."""
