"""What a training run needs before it begins: numbers to learn with, and a folder of its own."""
