"""Physics and economics as pure functions of numbers, the random stream, and how all of it is compiled."""
