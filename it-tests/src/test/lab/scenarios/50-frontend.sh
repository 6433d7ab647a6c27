# Frontends in user space: three layouts, many pages and rings, 256 segments; hostile requests and rings; storms; ioctls a turn; nothing left behind.
nodes=/local/domain/0/backend/bench
lab_program XenFrontendLab "$(server_pid)" /tmp/log $nodes "${SEED:-1}"
for left in $nodes/0 /local/domain/0/blocktap/frontend; do
    [ -z "$(xenstore-ls "$left" 2>/dev/null)" ] || { xenstore-ls -f "$left"; fail "left in xenstore"; }
done
