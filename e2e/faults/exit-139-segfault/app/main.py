import ctypes

print("calling native code", flush=True)
ctypes.string_at(0)
