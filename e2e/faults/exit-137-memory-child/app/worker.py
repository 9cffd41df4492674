taken = []
while True:
    taken.append(bytearray(b"x") * (64 << 20))
    print(f"{len(taken) * 64} MiB taken", flush=True)
