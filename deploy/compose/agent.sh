# What the code in a sandbox does: it knows of no credential, and of no gate.
trap 'exit 0' TERM INT
until curl -sS -m 2 -o /dev/null https://orders.internal/hello 2>/dev/null; do
	sleep 0.5
done
while :; do
	echo "allowed:      $(curl -sS -m 10 https://orders.internal/hello 2>&1)"
	echo "credentialed: $(curl -sS -m 10 https://orders.internal/orders 2>&1)"
	echo "refused:      $(curl -sS -m 10 https://orders.internal/admin 2>&1)"
	sleep 20 &
	wait $!
done
