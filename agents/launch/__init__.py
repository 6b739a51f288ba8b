"""What a training run needs before it begins: numbers to learn with, a folder of its own, the rows of what was done."""
