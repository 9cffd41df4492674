echo "signalling myself"
kill -USR1 $$
