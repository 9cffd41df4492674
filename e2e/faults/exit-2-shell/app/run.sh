echo "about to leave"
exit 2
