echo "starting celery"
exec celery worker
