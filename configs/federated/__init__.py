"""The shipped plans of federated runs, one YAML file each."""
