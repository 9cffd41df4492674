python3 server.py &
echo "started in the background"
wait
