import json

settings = json.load(open("config/production.json"))
