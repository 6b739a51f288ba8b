"""The shipped scenarios, one YAML file each."""
