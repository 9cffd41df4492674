print("queue is empty", flush=True)
