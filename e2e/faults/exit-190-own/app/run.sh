echo "leaving with 190"
exit 190
