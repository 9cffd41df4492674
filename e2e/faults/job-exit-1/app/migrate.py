raise RuntimeError("migration 0007 cannot be applied")
