"""Measured results; installed are the floors and bounds that scores stand between."""
