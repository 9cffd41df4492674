import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.parse_args()
