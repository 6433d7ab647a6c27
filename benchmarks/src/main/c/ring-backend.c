/*
 * The yardstick: the backend end of the loopback ring in plain C, one thread, one epoll, nothing between ring and disk.
 *
 * It speaks docs/protocols/loopback.md, so the same ring-frontend measures it and the Java server. It is meant to be as
 * fast as the protocol lets a careful C program be, and as distrustful as the Java server has to be: every slot is
 * copied once, the copy is validated, a bad request is an error for that request and a bad ring ends that session only.
 *
 * It serves ONE disk; the name in HELLO is accepted and ignored.
 *
 * Known limit, of the protocol and not of this file: the frontend shares the open file behind the call eventfd. It can
 * clear O_NONBLOCK and fill the counter, and our next call blocks. Only a peer of our own user id gets that far.
 *
 * Start reading at serve_turn(), the index protocol; execute() is the path of one request; main() has the loop.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    MAX_SESSIONS = 64,
    MAX_EVENTS = 64,
    MAX_INDIRECT_SEGMENTS = 256,
    ROUNDS_PER_TURN = 16, /* then the other sessions get theirs */
    HELLO_TIMEOUT_SECONDS = 10,
    SPIN_LOOKS_PER_CLOCK = 16,
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum terminator { TERMINATOR_NULL, TERMINATOR_MEMORY, TERMINATOR_FILE };

struct disk {
    enum terminator terminator;
    uint64_t capacity_sectors;
    bool read_only;
    uint32_t max_indirect_segments; /* 0: INDIRECT is not offered */
    uint8_t *memory;                /* memory: capacity_sectors * 512 bytes, private */
    int fd;                         /* file */
    bool flush_failed;              /* a write was lost: from then on nothing that changes the disk succeeds */
};

enum state { STATE_HELLO, STATE_SERVING, STATE_ENDED };

struct session {
    enum state state;
    int socket;
    int kick;
    int call;
    uint64_t hello_deadline_ns;
    bool ready; /* has work for the next turn */

    uint8_t *pages; /* the memfd: ring pages, then data pages */
    size_t pages_bytes;
    struct ring *ring;
    uint32_t slots;
    uint32_t first_gref; /* valid: first_gref <= gref < end_gref */
    uint32_t end_gref;

    uint32_t req_cons;
    uint32_t rsp_prod;           /* private: put into slots */
    uint32_t rsp_prod_published; /* our copy of the shared one, which the frontend can write */
};

static struct disk disk = {.fd = -1};
static struct session *sessions[MAX_SESSIONS];
static unsigned session_count;
static int epoll_fd;
static uint64_t spin_ns;
static bool small_pages;
static bool verbose;

/* ---- one request ---- */

static inline void *segment_data(const struct session *s, const struct segment *seg)
{
    return s->pages + (size_t)seg->gref * PAGE_BYTES + (size_t)seg->first_sect * SECTOR_BYTES;
}

static inline size_t segment_bytes(const struct segment *seg)
{
    return (size_t)(seg->last_sect - seg->first_sect + 1) * SECTOR_BYTES;
}

/* Moves all bytes of iov at offset; short transfers go on, an end of file reads as zeroes. */
static bool transfer(bool is_write, struct iovec *iov, int count, off_t offset)
{
    while (count > 0) {
        ssize_t moved;
        if (count == 1) {
            moved = is_write ? pwrite(disk.fd, iov->iov_base, iov->iov_len, offset)
                             : pread(disk.fd, iov->iov_base, iov->iov_len, offset);
        } else {
            moved = is_write ? pwritev(disk.fd, iov, count, offset) : preadv(disk.fd, iov, count, offset);
        }
        if (moved < 0 && errno == EINTR) {
            continue;
        }
        if (moved < 0 || (moved == 0 && is_write)) {
            return false;
        }
        if (moved == 0) { /* the file was cut while we serve it */
            for (; count > 0; iov++, count--) {
                memset(iov->iov_base, 0, iov->iov_len);
            }
            return true;
        }
        offset += moved;
        while (count > 0 && (size_t)moved >= iov->iov_len) {
            moved -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + moved;
            iov->iov_len -= (size_t)moved;
        }
    }
    return true;
}

static bool transfer_segments(const struct session *s, bool is_write, const struct segment *seg, unsigned count,
        uint64_t sector)
{
    struct iovec iov[MAX_INDIRECT_SEGMENTS];
    int used = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *data = segment_data(s, &seg[i]);
        size_t bytes = segment_bytes(&seg[i]);
        if (used > 0 && (uint8_t *)iov[used - 1].iov_base + iov[used - 1].iov_len == data) {
            iov[used - 1].iov_len += bytes;
        } else {
            iov[used++] = (struct iovec){.iov_base = data, .iov_len = bytes};
        }
    }
    return transfer(is_write, iov, used, (off_t)(sector * SECTOR_BYTES));
}

/* READ or WRITE of a private copy of the segments: check all of them, then move. */
ALWAYS_INLINE int16_t read_write(const struct session *s, enum terminator terminator, bool is_write,
        const struct segment *seg, unsigned count, uint64_t sector)
{
    uint64_t sectors = 0;
    for (unsigned i = 0; i < count; i++) {
        if (seg[i].gref < s->first_gref || seg[i].gref >= s->end_gref || seg[i].first_sect > seg[i].last_sect
                || seg[i].last_sect >= SECTORS_PER_PAGE) {
            return BLKIF_RSP_ERROR;
        }
        sectors += seg[i].last_sect - seg[i].first_sect + 1u;
    }
    if (sectors > disk.capacity_sectors || sector > disk.capacity_sectors - sectors) {
        return BLKIF_RSP_ERROR;
    }
    if (is_write && (disk.read_only || disk.flush_failed)) {
        return BLKIF_RSP_ERROR;
    }

    switch (terminator) {
    case TERMINATOR_NULL:
        for (unsigned i = 0; i < count && !is_write; i++) {
            memset(segment_data(s, &seg[i]), 0, segment_bytes(&seg[i]));
        }
        return BLKIF_RSP_OKAY;
    case TERMINATOR_MEMORY: {
        uint8_t *at = disk.memory + sector * SECTOR_BYTES;
        for (unsigned i = 0; i < count; i++) {
            void *data = segment_data(s, &seg[i]);
            size_t bytes = segment_bytes(&seg[i]);
            memcpy(is_write ? at : data, is_write ? data : at, bytes);
            at += bytes;
        }
        return BLKIF_RSP_OKAY;
    }
    case TERMINATOR_FILE:
        return transfer_segments(s, is_write, seg, count, sector) ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
    }
    __builtin_unreachable();
}

static int16_t flush(void)
{
    if (disk.flush_failed) {
        return BLKIF_RSP_ERROR;
    }
    if (disk.terminator == TERMINATOR_FILE && fdatasync(disk.fd) != 0) {
        fprintf(stderr, "ring-backend: fdatasync: %s; writes fail from here on\n", strerror(errno));
        disk.flush_failed = true;
        return BLKIF_RSP_ERROR;
    }
    return BLKIF_RSP_OKAY;
}

/* Zeroes a part of the RAM disk; whole pages go back to the kernel, so a discard of everything stays short. */
static void discard_memory(uint64_t from, uint64_t bytes)
{
    uint64_t end = from + bytes;
    uint64_t first_page = (from + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    uint64_t end_page = end / PAGE_BYTES * PAGE_BYTES;
    if (first_page >= end_page || madvise(disk.memory + first_page, end_page - first_page, MADV_DONTNEED) != 0) {
        memset(disk.memory + from, 0, bytes);
        return;
    }
    memset(disk.memory + from, 0, first_page - from);
    memset(disk.memory + end_page, 0, end - end_page);
}

static int16_t discard(const struct discard_request *request)
{
    uint64_t sector = request->sector_number;
    uint64_t sectors = request->nr_sectors;
    if (sectors == 0 || sectors > disk.capacity_sectors || sector > disk.capacity_sectors - sectors) {
        return BLKIF_RSP_ERROR;
    }
    if (disk.read_only || disk.flush_failed) {
        return BLKIF_RSP_ERROR;
    }
    if ((request->flag & 1) != 0) {
        return BLKIF_RSP_EOPNOTSUPP;
    }
    switch (disk.terminator) {
    case TERMINATOR_NULL:
        break;
    case TERMINATOR_MEMORY:
        discard_memory(sector * SECTOR_BYTES, sectors * SECTOR_BYTES);
        break;
    case TERMINATOR_FILE:
        if (fallocate(disk.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(sector * SECTOR_BYTES),
                    (off_t)(sectors * SECTOR_BYTES)) != 0) {
            return errno == EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;
        }
        break;
    }
    return BLKIF_RSP_OKAY;
}

static int16_t indirect(const struct session *s, const struct indirect_request *request)
{
    struct segment seg[MAX_INDIRECT_SEGMENTS];
    _Static_assert((int)MAX_INDIRECT_SEGMENTS <= (int)SEGMENTS_PER_INDIRECT_PAGE, "one indirect page");
    unsigned count = request->nr_segments;
    uint32_t gref = request->grefs[0];
    if (disk.max_indirect_segments == 0) {
        return BLKIF_RSP_EOPNOTSUPP;
    }
    if (request->indirect_op > BLKIF_OP_WRITE || count == 0 || count > disk.max_indirect_segments
            || gref < s->first_gref || gref >= s->end_gref) {
        return BLKIF_RSP_ERROR;
    }
    memcpy(seg, s->pages + (size_t)gref * PAGE_BYTES, count * sizeof *seg);
    __asm__ volatile("" : : "r"(seg) : "memory"); /* the copy is real: no second look at the shared page */
    return read_write(s, disk.terminator, request->indirect_op == BLKIF_OP_WRITE, seg, count, request->sector_number);
}

/* Runs one request, of which `slot` is a private copy. */
ALWAYS_INLINE int16_t execute(const struct session *s, enum terminator terminator, const union slot *slot)
{
    const struct rw_request *rw = &slot->rw;
    bool has_segments = rw->nr_segments >= 1 && rw->nr_segments <= MAX_DIRECT_SEGMENTS;
    switch (rw->operation) {
    case BLKIF_OP_READ:
        return has_segments ? read_write(s, terminator, false, rw->seg, rw->nr_segments, rw->sector_number)
                            : BLKIF_RSP_ERROR;
    case BLKIF_OP_WRITE:
        return has_segments ? read_write(s, terminator, true, rw->seg, rw->nr_segments, rw->sector_number)
                            : BLKIF_RSP_ERROR;
    case BLKIF_OP_FLUSH_DISKCACHE: { /* with data: flush, then write (blkif.h, BLKIF_OP_FLUSH_DISKCACHE) */
        if (rw->nr_segments == 0) {
            return flush();
        }
        if (!has_segments) {
            return BLKIF_RSP_ERROR;
        }
        int16_t status = flush();
        return status != BLKIF_RSP_OKAY
                ? status : read_write(s, disk.terminator, true, rw->seg, rw->nr_segments, rw->sector_number);
    }
    case BLKIF_OP_DISCARD:
        return discard(&slot->discard);
    case BLKIF_OP_INDIRECT:
        return indirect(s, &slot->indirect);
    default:
        return BLKIF_RSP_EOPNOTSUPP;
    }
}

/* ---- the index protocol ---- */

/* Serves what the ring holds now; false when the frontend ran its producer over unanswered requests. */
ALWAYS_INLINE bool drain(struct session *s, enum terminator terminator)
{
    struct ring *ring = s->ring;
    uint32_t mask = s->slots - 1;
    uint32_t prod = load_index(&ring->req_prod);
    if ((uint32_t)(prod - s->rsp_prod) > s->slots) {
        return false;
    }
    while (s->req_cons != prod) {
        union slot copy;
        memcpy(&copy, &ring->slots[s->req_cons & mask], sizeof copy);
        __asm__ volatile("" : : "r"(&copy) : "memory"); /* the copy is real: no second look at the slot */
        s->req_cons++;

        int16_t status = execute(s, terminator, &copy);

        uint8_t operation = copy.rw.operation == BLKIF_OP_INDIRECT ? copy.indirect.indirect_op : copy.rw.operation;
        struct response response = {.id = copy.rw.id, .operation = operation, .status = status};
        memcpy(&ring->slots[s->rsp_prod & mask].response, &response, sizeof response); /* padding is zero (XSA-216) */
        s->rsp_prod++;
    }
    return true;
}

/* The terminator is a constant in each of these, so the compiler leaves the other two out of the loop. */
static bool drain_null(struct session *s) { return drain(s, TERMINATOR_NULL); }
static bool drain_memory(struct session *s) { return drain(s, TERMINATOR_MEMORY); }
static bool drain_file(struct session *s) { return drain(s, TERMINATOR_FILE); }

static bool drain_disk(struct session *s)
{
    switch (disk.terminator) {
    case TERMINATOR_NULL: return drain_null(s);
    case TERMINATOR_MEMORY: return drain_memory(s);
    case TERMINATOR_FILE: return drain_file(s);
    }
    __builtin_unreachable();
}

static void publish(struct session *s)
{
    uint32_t old_prod = s->rsp_prod_published;
    uint32_t new_prod = s->rsp_prod;
    if (old_prod == new_prod) {
        return;
    }
    store_index(&s->ring->rsp_prod, new_prod);
    s->rsp_prod_published = new_prod;
    full_fence(); /* rsp_prod is out before rsp_event is read, or a sleeping frontend is missed */
    if (event_passed(load_index(&s->ring->rsp_event), old_prod, new_prod)) {
        ring_doorbell(s->call);
    }
}

/* Asks for a kick at the next request; true when there is one already, which brings no kick. */
static bool arm_and_look_again(struct session *s)
{
    store_index(&s->ring->req_event, s->req_cons + 1);
    full_fence(); /* req_event is out before req_prod is read, or a request without kick is missed */
    return load_index(&s->ring->req_prod) != s->req_cons;
}

static void end_session(struct session *s, const char *reason)
{
    if (s->state == STATE_ENDED) {
        return;
    }
    if (verbose || s->state == STATE_HELLO) {
        fprintf(stderr, "ring-backend: session ended: %s\n", reason);
    }
    s->state = STATE_ENDED;
    s->ready = false;
}

/*
 * One turn: drain, publish once, arm, look again. When spinning is on, rings stay unarmed (spin() arms them before the
 * thread sleeps), so a frontend of a busy ring spends no system call on kicks.
 */
static void serve_turn(struct session *s)
{
    s->ready = false;
    for (int round = 0; round < ROUNDS_PER_TURN; round++) {
        if (!drain_disk(s)) {
            end_session(s, "req_prod ran past the ring");
            return;
        }
        publish(s);
        if (spin_ns != 0) {
            return;
        }
        if (!arm_and_look_again(s)) {
            return;
        }
    }
    s->ready = true;
}

/* Polls all rings until none had work for spin_ns (then arms them), or until the sockets need a look. */
static void spin(void)
{
    uint64_t start = now_ns();
    uint64_t idle_since = start;
    bool worked = false;
    for (unsigned look = 1;; look++) {
        for (unsigned i = 0; i < session_count; i++) {
            struct session *s = sessions[i];
            if (s->state == STATE_SERVING && load_index(&s->ring->req_prod) != s->req_cons) {
                serve_turn(s);
                worked = true;
            }
        }
        if (look % SPIN_LOOKS_PER_CLOCK != 0) {
            cpu_relax();
            continue;
        }
        uint64_t now = now_ns();
        if (worked) {
            idle_since = now;
            worked = false;
        } else if (now - idle_since > spin_ns) {
            break;
        }
        if (now - start > 1000000) { /* a busy ring must not hide a new or dead connection for more than 1 ms */
            for (unsigned i = 0; i < session_count; i++) {
                sessions[i]->ready = sessions[i]->state == STATE_SERVING;
            }
            return;
        }
    }
    for (unsigned i = 0; i < session_count; i++) {
        if (sessions[i]->state == STATE_SERVING && arm_and_look_again(sessions[i])) {
            sessions[i]->ready = true;
        }
    }
}

/* ---- sessions ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void free_session(struct session *s)
{
    close_fd(&s->socket);
    if (s->kick >= 0) { /* close() alone leaves it on the epoll set while the frontend has a copy */
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->kick, NULL);
    }
    close_fd(&s->kick);
    close_fd(&s->call);
    if (s->pages != NULL) {
        munmap(s->pages, s->pages_bytes);
    }
    free(s);
}

static void refuse(struct session *s, const char *reason)
{
    struct refused message = {.header = handshake_header(TYPE_REFUSED)};
    message.text_bytes = (uint16_t)strlen(reason);
    memcpy(message.text, reason, message.text_bytes);
    send(s->socket, &message, REFUSED_FIXED_BYTES + message.text_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    end_session(s, reason);
}

static bool watch(int fd, uint32_t events, void *data, unsigned tag)
{
    struct epoll_event event = {.events = events, .data.u64 = (uintptr_t)data | tag};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Makes memfd, doorbells and mapping. Returns the memfd, -1 with errno on failure; free_session() cleans up. */
static int build_ring(struct session *s, unsigned order, uint32_t data_pages)
{
    uint32_t ring_pages = 1u << order;
    size_t bytes = (size_t)(ring_pages + data_pages) * PAGE_BYTES;
    int memfd = memfd_create("blocktap-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0) {
        return -1;
    }
    if (ftruncate(memfd, (off_t)bytes) != 0
            || fcntl(memfd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        close(memfd);
        return -1;
    }
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memfd, 0);
    if (pages == MAP_FAILED) {
        close(memfd);
        return -1;
    }
    s->pages = pages;
    s->pages_bytes = bytes;
    s->ring = pages;
    s->ring->req_event = 1;
    s->ring->rsp_event = 1;
    s->slots = ring_slots(order);
    s->first_gref = ring_pages;
    s->end_gref = ring_pages + data_pages;
    s->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->kick < 0 || s->call < 0) {
        close(memfd);
        return -1;
    }
    return memfd;
}

static bool send_welcome(const struct session *s, int memfd)
{
    struct welcome message = {
        .header = handshake_header(TYPE_WELCOME),
        .capacity_sectors = disk.capacity_sectors,
        .logical_block_bytes = SECTOR_BYTES,
        .physical_block_bytes = PAGE_BYTES,
        .flags = GEOMETRY_FLUSH | (disk.read_only ? GEOMETRY_READ_ONLY : GEOMETRY_DISCARD),
        .max_indirect_segments = disk.max_indirect_segments,
        .discard_granularity_bytes = disk.read_only ? 0 : PAGE_BYTES,
        .data_pages = s->end_gref - s->first_gref,
    };
    int fds[3] = {memfd, s->kick, s->call};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof fds)];
    } control = {0};
    struct iovec iov = {.iov_base = &message, .iov_len = sizeof message};
    struct msghdr packet = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
    };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(rights), fds, sizeof fds);
    return sendmsg(s->socket, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof message;
}

static void on_hello(struct session *s, const struct hello *hello, size_t bytes)
{
    if (bytes < HELLO_FIXED_BYTES || !header_is(&hello->header, TYPE_HELLO) || hello->zero != 0) {
        refuse(s, "the first message is no HELLO of version 1");
        return;
    }
    if (hello->name_bytes > MAX_NAME_BYTES || bytes != (size_t)HELLO_FIXED_BYTES + hello->name_bytes) {
        refuse(s, "HELLO does not end with the disk's name");
        return;
    }
    if (hello->abi != ABI_X86_64) {
        refuse(s, "only x86_64-abi rings are served here");
        return;
    }
    if (hello->order > MAX_RING_ORDER) {
        refuse(s, "ring page order is above 4");
        return;
    }
    if (hello->data_pages == 0 || hello->data_pages > MAX_DATA_PAGES) {
        refuse(s, "number of data pages is not in 1 to 16384");
        return;
    }
    int memfd = build_ring(s, hello->order, hello->data_pages);
    if (memfd < 0) {
        refuse(s, strerror(errno));
        return;
    }
    /* On the epoll set before the frontend can know the descriptor: no kick comes before we listen. */
    if (!watch(s->kick, EPOLLIN | EPOLLET, s, 1)) {
        refuse(s, strerror(errno));
    } else if (!send_welcome(s, memfd)) {
        end_session(s, "WELCOME could not be sent");
    } else {
        s->state = STATE_SERVING;
        s->ready = true;
    }
    close(memfd);
}

static void on_socket(struct session *s)
{
    struct hello message = {0};
    ssize_t bytes = recv(s->socket, &message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (bytes <= 0) {
        end_session(s, "the frontend closed its socket");
    } else if (s->state == STATE_HELLO) {
        on_hello(s, &message, (size_t)bytes);
    } else {
        end_session(s, "a message after HELLO");
    }
}

static void on_listener(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t peer_bytes = sizeof peer;
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        close(fd);
        return;
    }
    *s = (struct session){.socket = fd, .kick = -1, .call = -1};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) != 0 || (peer.uid != geteuid() && peer.uid != 0)) {
        refuse(s, "the peer's user id is neither ours nor 0");
        free_session(s);
    } else if (session_count == MAX_SESSIONS) {
        refuse(s, "64 sessions are open already");
        free_session(s);
    } else if (!watch(fd, EPOLLIN, s, 0)) {
        refuse(s, strerror(errno));
        free_session(s);
    } else {
        s->hello_deadline_ns = now_ns() + HELLO_TIMEOUT_SECONDS * 1000000000ull;
        sessions[session_count++] = s;
    }
}

/* Frees ended sessions; only between two batches of epoll events, which hold pointers to them. */
static void reap_ended(void)
{
    for (unsigned i = 0; i < session_count;) {
        if (sessions[i]->state == STATE_ENDED) {
            free_session(sessions[i]);
            sessions[i] = sessions[--session_count];
        } else {
            i++;
        }
    }
}

/* Milliseconds until the next HELLO is overdue, -1 if none is awaited; ends those that are. */
static int hello_timeout(void)
{
    int timeout = -1;
    for (unsigned i = 0; i < session_count; i++) {
        if (sessions[i]->state != STATE_HELLO) {
            continue;
        }
        uint64_t now = now_ns();
        if (now >= sessions[i]->hello_deadline_ns) {
            end_session(sessions[i], "no HELLO within 10 seconds");
            continue;
        }
        int left = (int)((sessions[i]->hello_deadline_ns - now) / 1000000 + 1);
        timeout = timeout < 0 || left < timeout ? left : timeout;
    }
    return timeout;
}

/* ---- set-up and loop ---- */

static void open_disk(const char *terminator, uint64_t size)
{
    uint64_t bytes = size;
    if (strcmp(terminator, "null") == 0) {
        disk.terminator = TERMINATOR_NULL;
        bytes = size != 0 ? size : 1ull << 30;
    } else if (strcmp(terminator, "memory") == 0) {
        disk.terminator = TERMINATOR_MEMORY;
        bytes = size != 0 ? size : 256ull << 20;
        disk.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (disk.memory == MAP_FAILED) {
            die(EXIT_RUN, "memory: mmap of %llu bytes: %s", (unsigned long long)bytes, strerror(errno));
        }
        madvise(disk.memory, bytes, small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    } else if (strncmp(terminator, "file:", 5) == 0) {
        disk.terminator = TERMINATOR_FILE;
        int how = disk.read_only ? O_RDONLY : O_RDWR | (size != 0 ? O_CREAT : 0);
        disk.fd = open(terminator + 5, how | O_CLOEXEC, 0644);
        off_t end = disk.fd < 0 ? -1 : lseek(disk.fd, 0, SEEK_END); /* works for block devices too */
        if (end < 0) {
            die(EXIT_RUN, "%s: %s", terminator, strerror(errno));
        }
        if ((uint64_t)end < size && ftruncate(disk.fd, (off_t)size) != 0) {
            die(EXIT_RUN, "%s: ftruncate to %llu bytes: %s", terminator, (unsigned long long)size, strerror(errno));
        }
        bytes = size != 0 ? size : (uint64_t)end;
    } else {
        die(EXIT_USAGE, "no terminator '%s'; there are null, memory and file:PATH", terminator);
    }
    disk.capacity_sectors = bytes / SECTOR_BYTES;
    if (disk.capacity_sectors == 0) {
        die(EXIT_USAGE, "%s: a disk of %llu bytes has no sector; give --size", terminator, (unsigned long long)bytes);
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = unix_address(path);
    int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(probe, (struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED) {
        unlink(path); /* a dead server's; a living one's makes bind() fail */
    }
    close(probe);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0
            || listen(listener, 128) != 0) {
        die(EXIT_RUN, "listen on %s: %s", path, strerror(errno));
    }
    return listener;
}

static int signals_as_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

__attribute__((noreturn)) static void usage(int code)
{
    fprintf(code == 0 ? stdout : stderr,
            "usage: ring-backend [options] SOCKET null|memory|file:PATH\n"
            "  --size BYTES     size of the disk (null 1G, memory 256M, file: its own; makes or grows the file)\n"
            "  --read-only      refuse what changes the disk\n"
            "  --indirect N     most segments of an INDIRECT request, 0 to %d (default %d; 0: not offered)\n"
            "  --spin-us N      poll the rings N us after the last request before sleeping (default 0)\n"
            "  --cpu N          run on this core\n"
            "  --small-pages    memory: no huge pages, like the direct memory of a JVM\n"
            "  --verbose        tell why sessions end\n",
            MAX_INDIRECT_SEGMENTS, MAX_INDIRECT_SEGMENTS);
    exit(code);
}

static int tag_listener, tag_signal; /* only their addresses count: they tell epoll events apart */

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"size", required_argument, NULL, 's'}, {"read-only", no_argument, NULL, 'r'},
        {"indirect", required_argument, NULL, 'i'}, {"spin-us", required_argument, NULL, 'u'},
        {"cpu", required_argument, NULL, 'c'}, {"verbose", no_argument, NULL, 'v'},
        {"small-pages", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'}, {0},
    };
    uint64_t size = 0;
    uint64_t most_indirect = MAX_INDIRECT_SEGMENTS;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 's': size = parse_number("--size", optarg, SECTOR_BYTES, 1ull << 50); break;
        case 'r': disk.read_only = true; break;
        case 'i': most_indirect = parse_number("--indirect", optarg, 0, MAX_INDIRECT_SEGMENTS); break;
        case 'u': spin_ns = parse_number("--spin-us", optarg, 0, 1000000) * 1000; break;
        case 'c': pin_to_cpu((unsigned)parse_number("--cpu", optarg, 0, CPU_SETSIZE - 1)); break;
        case 'v': verbose = true; break;
        case 'p': small_pages = true; break;
        case 'h': usage(0);
        default: usage(EXIT_USAGE);
        }
    }
    if (argc - optind != 2) {
        usage(EXIT_USAGE);
    }
    const char *path = argv[optind];
    disk.max_indirect_segments = (uint32_t)most_indirect;
    open_disk(argv[optind + 1], size);
    int listener = listen_at(path);
    int signals = signals_as_fd();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || signals < 0 || !watch(listener, EPOLLIN, &tag_listener, 0)
            || !watch(signals, EPOLLIN, &tag_signal, 0)) {
        die(EXIT_RUN, "epoll: %s", strerror(errno));
    }

    for (bool running = true; running;) {
        struct epoll_event events[MAX_EVENTS];
        bool any_ready = false;
        for (unsigned i = 0; i < session_count; i++) {
            any_ready |= sessions[i]->ready;
        }
        int timeout = hello_timeout();
        reap_ended();
        int count = epoll_wait(epoll_fd, events, MAX_EVENTS, any_ready ? 0 : timeout);
        if (count < 0 && errno != EINTR) {
            die(EXIT_RUN, "epoll_wait: %s", strerror(errno));
        }
        for (int i = 0; i < count; i++) {
            uint64_t data = events[i].data.u64;
            if (data == (uintptr_t)&tag_listener) {
                on_listener(listener);
            } else if (data == (uintptr_t)&tag_signal) {
                running = false;
            } else if ((data & 1) != 0) {
                struct session *s = (struct session *)(uintptr_t)(data & ~1ull);
                s->ready = s->state == STATE_SERVING;
            } else {
                on_socket((struct session *)(uintptr_t)data);
            }
        }
        for (unsigned i = 0; i < session_count; i++) {
            if (sessions[i]->ready) {
                serve_turn(sessions[i]);
            }
        }
        if (spin_ns != 0 && session_count > 0) {
            spin();
        }
    }

    while (session_count > 0) {
        free_session(sessions[--session_count]);
    }
    unlink(path);
    close(listener);
    close(signals);
    close(epoll_fd);
    close_fd(&disk.fd);
    if (disk.memory != NULL) {
        munmap(disk.memory, disk.capacity_sectors * SECTOR_BYTES);
    }
    return 0;
}
