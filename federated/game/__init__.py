"""The game behind federated training: clients decide what they give to a round, a provider what it pays for."""
