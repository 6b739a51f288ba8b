"""The simulation: worlds, their state, what they are built from, and what agents see of them."""
