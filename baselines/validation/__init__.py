"""What `edge-experts validate` checks of an environment."""
