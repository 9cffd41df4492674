print("all done", flush=True)
