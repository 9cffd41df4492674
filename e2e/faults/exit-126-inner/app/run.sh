echo "starting the worker"
exec ./worker.sh
