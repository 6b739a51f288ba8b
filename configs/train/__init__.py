"""Training configurations for `rllib train file`."""
