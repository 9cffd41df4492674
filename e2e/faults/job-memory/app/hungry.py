taken = []
while True:
    taken.append(bytearray(b"x") * (32 << 20))
    print(f"{len(taken) * 32} MiB taken", flush=True)
