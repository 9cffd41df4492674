python3 worker.py
echo "worker ended, leaving"
exit 1
