import os

SECRET = os.environ['SECRET_KEY']
