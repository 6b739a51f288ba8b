"""One slot of one world, compiled: who does what, in the order it happens."""
