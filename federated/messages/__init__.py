"""Messages between clients and server: what is done to them, what they cost, rounds of them."""
