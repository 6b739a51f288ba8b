"""Files and references: read, written and checked in one place."""
