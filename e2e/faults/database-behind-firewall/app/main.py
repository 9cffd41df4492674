"""Never comes to run: its database cannot be used."""
