from sqlalchemy import create_engine

create_engine("postgres://user:secret@db.example.com/shop")
