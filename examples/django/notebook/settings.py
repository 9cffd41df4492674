"""Settings of the project. What differs from place to place comes from the environment; a build has none of it."""

import os
import tempfile
from pathlib import Path

import dj_database_url
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()
DEBUG = os.environ.get("DJANGO_DEBUG") == "true"
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "notes",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "notebook.urls"
WSGI_APPLICATION = "notebook.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"


def _database():
    """The database of `DATABASE_URL`; its certificate has to be of the authority in `DATABASE_CA`, if there is one."""
    if "DATABASE_URL" not in os.environ:
        return {}
    database = dj_database_url.config(conn_max_age=600, conn_health_checks=True)
    authority = os.environ.get("DATABASE_CA")
    if authority:
        with tempfile.NamedTemporaryFile("w", prefix="database-ca-", suffix=".crt", delete=False) as file:
            file.write(authority)
        database["OPTIONS"] = {"sslmode": "verify-full", "sslrootcert": file.name, "connect_timeout": 5}
    return database


DATABASES = {"default": _database()}
