#!/bin/sh
# The broker is blind by construction: the linked program holds no code that could open anything.
# Usage: broker_link_test.sh <tram-broker>
set -eu
symbols=$(nm -C "$1")
[ -n "$symbols" ] || { echo "no symbols in $1" >&2; exit 1; }
# A name that must be there, so that a stripped binary cannot pass.
echo "$symbols" | grep -q 'tram::crypto::verify_envelope' || { echo "symbols are missing from $1" >&2; exit 1; }
if echo "$symbols" | grep -E 'hpke_(open|seal)|open_chunk|seal_chunk|unwrap_key|wrap_key|open_metadata|seal_metadata|open_value|tram::node::'; then
  echo "the broker contains code that opens or seals" >&2
  exit 1
fi
