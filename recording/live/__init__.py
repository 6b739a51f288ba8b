"""The live twin: a policy routes real questions to real experts, and its log is played again in the market."""
