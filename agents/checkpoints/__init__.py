"""What a checkpoint says of itself, and how it is played."""
