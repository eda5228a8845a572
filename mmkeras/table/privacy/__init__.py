"""What the package keeps of a user's data: forgotten, locked, and what is left named."""
