#!/bin/bash
# The first deployment: every manifest of every pod, in order.
set -euo pipefail
for pod in gateway relay-1 relay-2 sink; do
	for manifest in "$pod"/0*.yaml; do
		kubectl apply -f "$manifest"
	done
done
