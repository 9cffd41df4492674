echo "cleaning up old processes"
kill -9 $$
