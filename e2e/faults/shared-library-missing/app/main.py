import ctypes

ctypes.CDLL("libmagick-of-the-shop.so.7")
