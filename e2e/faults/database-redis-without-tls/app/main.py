"""Never comes to run: its database cannot be used as it is told to."""
