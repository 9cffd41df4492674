echo "stopping myself"
kill -TERM $$
