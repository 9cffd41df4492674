raise RuntimeError("the report of yesterday cannot be written")
