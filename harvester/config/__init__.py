"""`accounts.toml`: its keys, how they are read and checked, and the accounts file."""
