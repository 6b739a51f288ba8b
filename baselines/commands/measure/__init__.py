"""What scenarios, tables and this machine are worth."""
