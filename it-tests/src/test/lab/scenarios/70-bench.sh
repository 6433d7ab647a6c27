# The server has ended well; then "bench --tap xen" drives a disk of its own through the real devices, and leaves nothing in xenstore.
code=$(server_end TERM)
[ "$code" = 0 ] || fail "the server ended with exit code $code"
blocktap bench --tap xen --qd 32 --warm-up 2s --time 2s memory:16M || fail "bench: $?"
for left in /local/domain/0/backend/bench/0 /local/domain/0/blocktap/frontend; do
    [ -z "$(xenstore-ls "$left" 2>/dev/null)" ] || { xenstore-ls -f "$left"; fail "left in xenstore"; }
done
