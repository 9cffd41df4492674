import os

secret = os.environ["SECRET_KEY"]
print("never")
