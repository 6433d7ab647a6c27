/*
 * The load generator and verifier for any server of docs/protocols/loopback.md: blocktap's loopback tap, ring-backend.
 *
 * One thread keeps --qd requests in the ring, reaps in batches, and sleeps on the call doorbell only after the final
 * check of rsp_event. Requests are prepared once (fixed pages and segments for each of the qd places): a request costs
 * this side little and the server is what is measured. The server is not trusted: producer, id, operation of every
 * response are checked on a private copy.
 *
 * --verify writes sectors that tell their number, the seed and a version, over scattered and oddly cut segments, keeps
 * overlapping requests apart, checks every read and in the end reads everything back that it wrote.
 *
 * Start reading at run_phase(); submit() and reap() are the two halves of a request.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
    MAX_QD = 512,
    MAX_SEGMENTS = MAX_INDIRECT_GREFS * SEGMENTS_PER_INDIRECT_PAGE,
    SLOT_BITS = 16, /* id = sequence number << 16 | place */
    SPIN_LOOKS_PER_CLOCK = 16,
    MAX_COMPLAINTS = 5,
    GUARD_BYTE = 0xa5,
};

enum phase { PHASE_LOAD, PHASE_READBACK };

/* One of the qd requests that can be in flight. */
struct place {
    bool busy;
    uint8_t op;
    uint64_t id;
    uint64_t start_ns;
    uint64_t block;
    uint32_t version; /* of the block: written by this request, or expected by it */
    uint16_t segment_count;
    struct segment *segments;
    uint32_t indirect_grefs[MAX_INDIRECT_GREFS];
};

/* Latencies: 64 linear steps in each power of two, so a percentile is right to 1.6 %. */
enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS, BUCKETS = (64 - STEP_BITS + 1) * STEPS };

struct statistics {
    uint64_t requests, bytes, errors, mismatches, unwritten, kicks, sleeps;
    uint64_t elapsed_ns, cpu_ns, server_cpu_ns, machine_busy_ns, max_ns;
    uint64_t buckets[BUCKETS];
};

static struct {
    const char *path;
    const char *disk_name;
    const char *mode;
    bool random, verify, json;
    unsigned qd, read_percent, order;
    uint64_t block_bytes, size_bytes, max_requests, seed, flush_every;
    uint64_t seconds_ns, warmup_ns, spin_ns, connect_ns, stall_ns;
} option = {
    .disk_name = "", .mode = "randrw", .random = true, .qd = 1, .read_percent = 50, .order = UINT32_MAX,
    .block_bytes = 4096, .seed = 1, .stall_ns = 30000000000ull,
};

static struct {
    int socket, kick, call, epoll;
    struct welcome geometry;
    pid_t server_pid;
    clockid_t server_clock;
    bool has_server_clock;
    uint8_t *pages;
    size_t pages_bytes;
    uint32_t first_gref, data_pages;
} server = {.socket = -1, .kick = -1, .call = -1, .epoll = -1};

static struct {
    struct ring *ring;
    uint32_t mask;
    uint32_t req_prod;           /* private: put into slots */
    uint32_t req_prod_published;
    uint32_t rsp_cons;
} front;

static struct place places[MAX_QD];
static uint16_t free_places[MAX_QD];
static unsigned free_count;
static uint64_t sequence;

static struct {
    enum phase phase;
    uint64_t blocks;      /* of block_bytes each, in the range that is touched */
    uint64_t next;        /* sequential cursor */
    uint64_t since_flush;
    uint64_t random_state;
    uint32_t last_version;
    uint32_t *versions;   /* verify: what each block holds; 0: nobody knows */
    uint8_t *locked;      /* verify: a request for the block is in flight */
} load;

static struct statistics stats;

/* ---- small tools ---- */

static inline uint64_t mix(uint64_t x) /* a bijection that scatters all bits (xor-shift and multiply rounds) */
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return x;
}

static inline uint64_t next_random(void)
{
    load.random_state += 0x9e3779b97f4a7c15u;
    return mix(load.random_state);
}

static inline uint64_t random_below(uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)next_random() * limit) >> 64);
}

static unsigned bucket_of(uint64_t ns)
{
    if (ns < STEPS) {
        return (unsigned)ns;
    }
    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
    return (exponent - STEP_BITS + 1) * STEPS + (unsigned)((ns >> (exponent - STEP_BITS)) & (STEPS - 1));
}

static double bucket_middle_us(unsigned bucket)
{
    if (bucket < STEPS) {
        return bucket / 1e3;
    }
    unsigned exponent = bucket / STEPS + STEP_BITS - 1;
    double width = (double)(1ull << (exponent - STEP_BITS));
    return ((double)(STEPS + bucket % STEPS) * width + width / 2) / 1e3;
}

static double percentile_us(double share)
{
    uint64_t total = 0, seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        total += stats.buckets[i];
    }
    uint64_t wanted = (uint64_t)(share * (double)total);
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += stats.buckets[i];
        if (seen > wanted) {
            return bucket_middle_us(i);
        }
    }
    return (double)stats.max_ns / 1e3;
}

/* Counts an error and tells the first few. */
__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
    static unsigned told;
    if (told++ >= MAX_COMPLAINTS) {
        return;
    }
    va_list args;
    va_start(args, format);
    fputs("ring-frontend: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- the pattern ---- */

enum { SECTOR_WORDS = SECTOR_BYTES / 8 };
enum content { CONTENT_PATTERN, CONTENT_ZERO, CONTENT_OTHER };

static void fill_sector(uint64_t *words, uint64_t sector, uint32_t version)
{
    uint64_t name = mix(option.seed ^ mix(sector + 1));
    uint64_t body = mix(name + version);
    words[0] = name;
    words[1] = version;
    for (unsigned i = 2; i < SECTOR_WORDS; i++) {
        words[i] = body + i * 0x9e3779b97f4a7c15u;
    }
}

/* Tells what a sector holds; of the pattern of this seed and sector also which version. */
static enum content inspect_sector(const uint64_t *words, uint64_t sector, uint32_t *version)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < SECTOR_WORDS; i++) {
        any |= words[i];
    }
    if (any == 0) {
        return CONTENT_ZERO;
    }
    uint64_t expected[SECTOR_WORDS];
    *version = (uint32_t)words[1];
    fill_sector(expected, sector, *version);
    return memcmp(words, expected, sizeof expected) == 0 ? CONTENT_PATTERN : CONTENT_OTHER;
}

static void *segment_data(const struct segment *seg)
{
    return server.pages + (size_t)seg->gref * PAGE_BYTES + (size_t)seg->first_sect * SECTOR_BYTES;
}

static void fill_place(const struct place *p)
{
    uint64_t sector = p->block * (option.block_bytes / SECTOR_BYTES);
    for (unsigned i = 0; i < p->segment_count; i++) {
        uint64_t *words = segment_data(&p->segments[i]);
        for (unsigned s = p->segments[i].first_sect; s <= p->segments[i].last_sect; s++) {
            fill_sector(words, sector++, p->version);
            words += SECTOR_WORDS;
        }
    }
}

/* Before a read: what was there must not pass for an answer. */
static void spoil_place(const struct place *p)
{
    for (unsigned i = 0; i < p->segment_count; i++) {
        const struct segment *seg = &p->segments[i];
        memset(segment_data(seg), GUARD_BYTE, (size_t)(seg->last_sect - seg->first_sect + 1) * SECTOR_BYTES);
    }
}

/*
 * Checks a finished read. A block written in this run must hold the version last written. Of other blocks nothing is
 * known when this run writes too; a run that only reads takes any version of this seed and counts zero sectors apart.
 */
static void verify_place(const struct place *p)
{
    bool read_only = option.read_percent == 100;
    if (p->version == 0 && !read_only) {
        return;
    }
    uint64_t sector = p->block * (option.block_bytes / SECTOR_BYTES);
    for (unsigned i = 0; i < p->segment_count; i++) {
        const uint64_t *words = segment_data(&p->segments[i]);
        for (unsigned s = p->segments[i].first_sect; s <= p->segments[i].last_sect; s++) {
            uint32_t version = 0;
            enum content content = inspect_sector(words, sector, &version);
            if (p->version == 0 && content == CONTENT_ZERO) {
                stats.unwritten++;
            } else if (content != CONTENT_PATTERN || (p->version != 0 && version != p->version)) {
                stats.mismatches++;
                complain("sector %llu (segment %u of %u, page sector %u): %s, version %u in place of %u",
                        (unsigned long long)sector, i, p->segment_count, s,
                        content == CONTENT_ZERO ? "zeroes" : content == CONTENT_OTHER ? "foreign data" : "stale data",
                        version, p->version);
            }
            sector++;
            words += SECTOR_WORDS;
        }
    }
}

/* ---- connecting ---- */

/* Sets up what is needed to take one request place: how many pages, how many of them for indirect segments. */
static unsigned segments_wanted(void)
{
    unsigned sectors = (unsigned)(option.block_bytes / SECTOR_BYTES);
    unsigned pages = (sectors + SECTORS_PER_PAGE - 1) / SECTORS_PER_PAGE;
    if (!option.verify) {
        return pages;
    }
    /* two more pages than needed leave room for odd cuts, as far as the kind of request allows */
    unsigned limit = pages <= MAX_DIRECT_SEGMENTS ? MAX_DIRECT_SEGMENTS : 256;
    unsigned cut = pages + 2 < limit ? pages + 2 : limit;
    cut = cut < pages ? pages : cut;
    return cut < sectors ? cut : sectors;
}

static unsigned indirect_pages(unsigned segments)
{
    return segments <= MAX_DIRECT_SEGMENTS
            ? 0 : (segments + SEGMENTS_PER_INDIRECT_PAGE - 1) / SEGMENTS_PER_INDIRECT_PAGE;
}

static void connect_socket(void)
{
    struct sockaddr_un address = unix_address(option.path);
    uint64_t give_up = now_ns() + option.connect_ns;
    for (;;) {
        server.socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (server.socket >= 0 && connect(server.socket, (struct sockaddr *)&address, sizeof address) == 0) {
            break;
        }
        int error = errno;
        bool may_come = error == ENOENT || error == ECONNREFUSED;
        if (server.socket < 0 || !may_come || now_ns() >= give_up) {
            die(EXIT_RUN, "connect to %s: %s", option.path, strerror(error));
        }
        close(server.socket);
        usleep(20000);
    }
    /* SO_PEERCRED of a connected socket names who listens: its CPU clock can be read from here. */
    struct ucred peer;
    socklen_t peer_bytes = sizeof peer;
    if (getsockopt(server.socket, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0 && peer.pid > 0) {
        server.server_pid = peer.pid;
        server.has_server_clock = clock_getcpuclockid(peer.pid, &server.server_clock) == 0;
    }
}

static void send_hello(unsigned order, uint32_t data_pages)
{
    struct hello hello = {
        .header = handshake_header(TYPE_HELLO), .abi = ABI_X86_64, .order = (uint8_t)order, .data_pages = data_pages,
        .name_bytes = (uint16_t)strlen(option.disk_name),
    };
    memcpy(hello.name, option.disk_name, hello.name_bytes);
    size_t bytes = (size_t)HELLO_FIXED_BYTES + hello.name_bytes;
    if (send(server.socket, &hello, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
        die(EXIT_RUN, "HELLO could not be sent: %s", strerror(errno));
    }
}

/* Waits for WELCOME; returns the memfd. */
static int receive_welcome(void)
{
    union {
        struct welcome welcome;
        struct refused refused;
    } message = {0};
    int fds[3];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof fds)];
    } control;
    struct iovec iov = {.iov_base = &message, .iov_len = sizeof message};
    struct msghdr packet = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
    };

    struct pollfd answer = {.fd = server.socket, .events = POLLIN};
    if (poll(&answer, 1, (int)(option.stall_ns / 1000000)) == 0) {
        die(EXIT_RUN, "the server did not answer HELLO");
    }
    ssize_t bytes = recvmsg(server.socket, &packet, MSG_CMSG_CLOEXEC);
    if (bytes < 0 && errno == ECONNRESET) {
        /* closed with our HELLO unread: the reset is told first, the REFUSED behind it can still be read */
        bytes = recvmsg(server.socket, &packet, MSG_CMSG_CLOEXEC);
    }
    if (bytes < 0) {
        die(EXIT_RUN, "recvmsg: %s", strerror(errno));
    }
    if (bytes == 0) {
        die(EXIT_RUN, "the server closed the socket after HELLO");
    }
    if (bytes >= REFUSED_FIXED_BYTES && header_is(&message.refused.header, TYPE_REFUSED)) {
        int text = message.refused.text_bytes;
        int got = (int)bytes - REFUSED_FIXED_BYTES;
        die(EXIT_RUN, "refused: %.*s", text < got ? text : got, message.refused.text);
    }
    if (bytes != sizeof message.welcome || !header_is(&message.welcome.header, TYPE_WELCOME)) {
        die(EXIT_RUN, "the answer to HELLO is %zd bytes of type %u, not WELCOME", bytes,
                message.welcome.header.type);
    }
    struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
    if ((packet.msg_flags & MSG_CTRUNC) != 0 || rights == NULL || rights->cmsg_level != SOL_SOCKET
            || rights->cmsg_type != SCM_RIGHTS || rights->cmsg_len != CMSG_LEN(sizeof fds)) {
        die(EXIT_RUN, "WELCOME does not carry exactly three descriptors");
    }
    memcpy(fds, CMSG_DATA(rights), sizeof fds);
    server.geometry = message.welcome;
    server.kick = fds[1];
    server.call = fds[2];
    return fds[0];
}

static void map_ring(int memfd, unsigned order)
{
    server.first_gref = 1u << order;
    server.data_pages = server.geometry.data_pages;
    server.pages_bytes = (size_t)(server.first_gref + server.data_pages) * PAGE_BYTES;
    off_t end = lseek(memfd, 0, SEEK_END);
    if (end < 0 || (size_t)end < server.pages_bytes) {
        die(EXIT_RUN, "the memfd has %lld bytes, ring and data pages need %zu", (long long)end, server.pages_bytes);
    }
    int seals = fcntl(memfd, F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_GROW | F_SEAL_SHRINK)) != (F_SEAL_GROW | F_SEAL_SHRINK)) {
        die(EXIT_RUN, "the memfd is not sealed against growing and shrinking");
    }
    server.pages = mmap(NULL, server.pages_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memfd, 0);
    if (server.pages == MAP_FAILED) {
        die(EXIT_RUN, "mmap of the memfd: %s", strerror(errno));
    }
    close(memfd);
    front.ring = (struct ring *)server.pages;
    front.mask = ring_slots(order) - 1;
    const struct ring *ring = front.ring;
    if (ring->req_prod != 0 || ring->rsp_prod != 0 || ring->rsp_event != 1) {
        die(EXIT_RUN, "the ring is not fresh: req_prod %u, rsp_prod %u, rsp_event %u", ring->req_prod, ring->rsp_prod,
                ring->rsp_event);
    }
}

static void watch(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        die(EXIT_RUN, "epoll_ctl: %s", strerror(errno));
    }
}

/* Cuts block_bytes into `count` segments on the given pages: full pages, or odd cuts when verifying. */
static void cut_segments(struct place *p, unsigned count, const uint32_t *grefs)
{
    unsigned left = (unsigned)(option.block_bytes / SECTOR_BYTES);
    p->segment_count = (uint16_t)count;
    for (unsigned i = 0; i < count; i++) {
        unsigned later = count - i - 1;
        unsigned most = left - later < SECTORS_PER_PAGE ? left - later : SECTORS_PER_PAGE;
        unsigned least = left > later * SECTORS_PER_PAGE ? left - later * SECTORS_PER_PAGE : 1;
        unsigned sectors = most;
        unsigned first = 0;
        if (option.verify) {
            sectors = least + (unsigned)random_below(most - least + 1);
            first = (unsigned)random_below(SECTORS_PER_PAGE - sectors + 1);
        }
        p->segments[i] = (struct segment){
            .gref = grefs[i], .first_sect = (uint8_t)first, .last_sect = (uint8_t)(first + sectors - 1),
        };
        left -= sectors;
    }
}

static void prepare_places(unsigned segments)
{
    unsigned pages_each = segments + indirect_pages(segments);
    uint32_t page_count = option.qd * pages_each;
    uint32_t *grefs = calloc(page_count, sizeof *grefs);
    struct segment *all = calloc((size_t)option.qd * segments, sizeof *all);
    if (grefs == NULL || all == NULL) {
        die(EXIT_RUN, "out of memory");
    }
    for (uint32_t i = 0; i < page_count; i++) {
        grefs[i] = server.first_gref + i;
    }
    for (uint32_t i = page_count; option.verify && i > 1; i--) {
        uint32_t other = (uint32_t)random_below(i);
        uint32_t held = grefs[i - 1];
        grefs[i - 1] = grefs[other];
        grefs[other] = held;
    }
    memset(server.pages + (size_t)server.first_gref * PAGE_BYTES, GUARD_BYTE, (size_t)server.data_pages * PAGE_BYTES);
    for (unsigned n = 0; n < option.qd; n++) {
        struct place *p = &places[n];
        const uint32_t *mine = grefs + (size_t)n * pages_each;
        p->segments = all + (size_t)n * segments;
        cut_segments(p, segments, mine);
        for (unsigned i = 0; i < indirect_pages(segments); i++) {
            unsigned done = i * SEGMENTS_PER_INDIRECT_PAGE;
            unsigned here = segments - done < SEGMENTS_PER_INDIRECT_PAGE ? segments - done : SEGMENTS_PER_INDIRECT_PAGE;
            uint32_t gref = mine[segments + i];
            p->indirect_grefs[i] = gref;
            memcpy(server.pages + (size_t)gref * PAGE_BYTES, p->segments + done, here * sizeof *p->segments);
        }
        free_places[free_count++] = (uint16_t)(option.qd - 1 - n);
    }
    free(grefs);
}

/* After a verifying run: no byte outside of the segments may have changed, and no indirect page. */
static void verify_guards(unsigned segments)
{
    for (unsigned n = 0; n < option.qd; n++) {
        for (unsigned i = 0; i < places[n].segment_count; i++) {
            const struct segment *seg = &places[n].segments[i];
            const uint8_t *page = server.pages + (size_t)seg->gref * PAGE_BYTES;
            for (unsigned at = 0; at < PAGE_BYTES; at++) {
                unsigned sector = at / SECTOR_BYTES;
                if ((sector < seg->first_sect || sector > seg->last_sect) && page[at] != GUARD_BYTE) {
                    stats.mismatches++;
                    complain("page %u, byte %u was written, but lies outside of the segment (sectors %u to %u)",
                            seg->gref, at, seg->first_sect, seg->last_sect);
                    break;
                }
            }
        }
        for (unsigned i = 0; i < indirect_pages(segments); i++) {
            unsigned done = i * SEGMENTS_PER_INDIRECT_PAGE;
            unsigned here = segments - done < SEGMENTS_PER_INDIRECT_PAGE ? segments - done : SEGMENTS_PER_INDIRECT_PAGE;
            if (memcmp(server.pages + (size_t)places[n].indirect_grefs[i] * PAGE_BYTES, places[n].segments + done,
                        here * sizeof(struct segment)) != 0) {
                stats.mismatches++;
                complain("indirect page %u was written by the server", places[n].indirect_grefs[i]);
            }
        }
    }
}

static void set_range(unsigned segments)
{
    const struct welcome *geometry = &server.geometry;
    uint64_t capacity = geometry->capacity_sectors <= UINT64_MAX / SECTOR_BYTES
            ? geometry->capacity_sectors * SECTOR_BYTES : UINT64_MAX;
    uint64_t range = option.size_bytes != 0 ? option.size_bytes : capacity;
    if (range > capacity) {
        die(EXIT_RUN, "--size %llu is more than the disk's %llu bytes", (unsigned long long)range,
                (unsigned long long)capacity);
    }
    load.blocks = range / option.block_bytes;
    if (load.blocks < option.qd) {
        die(EXIT_RUN, "%llu bytes hold fewer than --qd %u blocks of %llu bytes", (unsigned long long)range, option.qd,
                (unsigned long long)option.block_bytes);
    }
    if (segments > MAX_DIRECT_SEGMENTS && segments > geometry->max_indirect_segments) {
        die(EXIT_RUN, "--bs %llu takes %u segments, the server allows %u in an INDIRECT request",
                (unsigned long long)option.block_bytes, segments, geometry->max_indirect_segments);
    }
    if (geometry->logical_block_bytes == 0 || option.block_bytes % geometry->logical_block_bytes != 0) {
        die(EXIT_RUN, "--bs %llu is no multiple of the disk's logical block of %u bytes",
                (unsigned long long)option.block_bytes, geometry->logical_block_bytes);
    }
    if (option.read_percent < 100 && (geometry->flags & GEOMETRY_READ_ONLY) != 0) {
        die(EXIT_RUN, "the disk is read-only; use --rw read or randread");
    }
    if (option.flush_every != 0 && (geometry->flags & GEOMETRY_FLUSH) == 0) {
        die(EXIT_RUN, "the disk does not support flush, so --flush-every can't be");
    }
    if (option.verify) {
        load.versions = calloc(load.blocks, sizeof *load.versions);
        load.locked = calloc(load.blocks, sizeof *load.locked);
        if (load.versions == NULL || load.locked == NULL) {
            die(EXIT_RUN, "--verify needs 5 bytes for each of %llu blocks; give a smaller --size",
                    (unsigned long long)load.blocks);
        }
    }
}

static unsigned connect_to_server(void)
{
    unsigned order = option.order;
    if (order == UINT32_MAX) {
        for (order = 0; ring_slots(order) < option.qd;) {
            order++;
        }
    }
    option.order = order;
    if (ring_slots(order) < option.qd) {
        die(EXIT_USAGE, "--qd %u is more than the %u slots of a ring of --order %u", option.qd, ring_slots(order),
                order);
    }
    unsigned segments = segments_wanted();
    uint64_t pages = (uint64_t)option.qd * (segments + indirect_pages(segments));
    if (pages > MAX_DATA_PAGES) {
        die(EXIT_USAGE, "--qd %u with --bs %llu takes %llu data pages, the protocol allows %d", option.qd,
                (unsigned long long)option.block_bytes, (unsigned long long)pages, MAX_DATA_PAGES);
    }
    connect_socket();
    send_hello(order, (uint32_t)pages);
    int memfd = receive_welcome();
    if (server.geometry.data_pages < pages) {
        die(EXIT_RUN, "asked for %llu data pages, WELCOME gives %u", (unsigned long long)pages,
                server.geometry.data_pages);
    }
    map_ring(memfd, order);
    set_range(segments);
    prepare_places(segments);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(server.call, EPOLLIN | EPOLLET); /* never read: an edge for each write is all we want of it */
    watch(server.socket, EPOLLIN);
    return segments;
}

/* A packet or the end of the socket. The server must not go while we are here. */
static void on_socket(void)
{
    struct welcome message;
    ssize_t bytes = recv(server.socket, &message, sizeof message, MSG_DONTWAIT);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (bytes <= 0) {
        die(EXIT_RUN, "the server ended the session with %u requests in flight", option.qd - free_count);
    }
    if (bytes != sizeof message || !header_is(&message.header, TYPE_GEOMETRY)) {
        die(EXIT_RUN, "the server sent %zd bytes that are no GEOMETRY", bytes);
    }
    fprintf(stderr, "ring-frontend: the disk has %llu sectors now, flags %#x\n",
            (unsigned long long)message.capacity_sectors, message.flags);
    uint64_t blocks = message.capacity_sectors / (option.block_bytes / SECTOR_BYTES);
    if (blocks < option.qd) {
        die(EXIT_RUN, "that is too small to go on");
    }
    load.blocks = blocks < load.blocks ? blocks : load.blocks;
}

/* ---- requests ---- */

/* Chooses operation and block of the next request; false when this phase has no more. */
static bool choose(struct place *p)
{
    p->version = 0;
    if (load.phase == PHASE_READBACK) {
        while (load.next < load.blocks && load.versions[load.next] == 0) {
            load.next++;
        }
        if (load.next >= load.blocks) {
            return false;
        }
        p->op = BLKIF_OP_READ;
        p->block = load.next++;
        p->version = load.versions[p->block];
        return true;
    }
    if (option.flush_every != 0 && ++load.since_flush >= option.flush_every) {
        load.since_flush = 0;
        p->op = BLKIF_OP_FLUSH_DISKCACHE;
        return true;
    }
    p->op = BLKIF_OP_READ;
    if (option.read_percent < 100 && (option.read_percent == 0 || random_below(100) >= option.read_percent)) {
        p->op = BLKIF_OP_WRITE;
    }
    uint64_t block = option.random ? random_below(load.blocks) : load.next;
    block = block < load.blocks ? block : 0;
    if (option.verify) { /* requests in flight must not overlap, or nobody knows what a read sees */
        while (load.locked[block]) {
            block = block + 1 < load.blocks ? block + 1 : 0;
        }
        load.locked[block] = 1;
        p->version = load.versions[block];
        if (p->op == BLKIF_OP_WRITE) {
            load.last_version = load.last_version + 1 != 0 ? load.last_version + 1 : 1;
            p->version = load.last_version;
        }
    }
    p->block = block;
    load.next = block + 1;
    return true;
}

static void put_request(struct place *p)
{
    union slot *slot = &front.ring->slots[front.req_prod & front.mask];
    uint64_t sector = p->block * (option.block_bytes / SECTOR_BYTES);
    if (p->op == BLKIF_OP_FLUSH_DISKCACHE) {
        slot->rw.operation = p->op;
        slot->rw.nr_segments = 0;
        slot->rw.handle = 0;
        slot->rw.id = p->id;
        slot->rw.sector_number = 0;
    } else if (p->segment_count <= MAX_DIRECT_SEGMENTS) {
        slot->rw.operation = p->op;
        slot->rw.nr_segments = (uint8_t)p->segment_count;
        slot->rw.handle = 0;
        slot->rw.id = p->id;
        slot->rw.sector_number = sector;
        for (unsigned i = 0; i < p->segment_count; i++) {
            slot->rw.seg[i] = p->segments[i];
        }
    } else {
        slot->indirect = (struct indirect_request){
            .operation = BLKIF_OP_INDIRECT, .indirect_op = p->op, .nr_segments = p->segment_count, .id = p->id,
            .sector_number = sector,
        };
        memcpy(slot->indirect.grefs, p->indirect_grefs, sizeof p->indirect_grefs);
    }
    front.req_prod++;
}

/* Puts one request into the ring, unpublished; false when there is none to put. */
static bool submit(uint64_t now)
{
    unsigned index = free_places[free_count - 1];
    struct place *p = &places[index];
    if (!choose(p)) {
        return false;
    }
    free_count--;
    p->busy = true;
    p->id = ++sequence << SLOT_BITS | index;
    p->start_ns = now;
    if (option.verify && p->op == BLKIF_OP_WRITE) {
        fill_place(p);
    } else if (option.verify && p->op == BLKIF_OP_READ) {
        spoil_place(p);
    }
    put_request(p);
    return true;
}

static void publish(void)
{
    uint32_t old_prod = front.req_prod_published;
    uint32_t new_prod = front.req_prod;
    if (old_prod == new_prod) {
        return;
    }
    store_index(&front.ring->req_prod, new_prod);
    front.req_prod_published = new_prod;
    full_fence(); /* req_prod is out before req_event is read, or a sleeping backend is missed */
    if (event_passed(load_index(&front.ring->req_event), old_prod, new_prod)) {
        ring_doorbell(server.kick);
        stats.kicks++;
    }
}

static void complete(struct place *p, const struct response *response, uint64_t now)
{
    bool good = response->status == BLKIF_RSP_OKAY;
    stats.requests++;
    stats.bytes += p->op == BLKIF_OP_FLUSH_DISKCACHE ? 0 : option.block_bytes;
    uint64_t ns = now - p->start_ns;
    stats.buckets[bucket_of(ns)]++;
    stats.max_ns = ns > stats.max_ns ? ns : stats.max_ns;
    if (!good) {
        stats.errors++;
        complain("operation %u at block %llu: status %d", p->op, (unsigned long long)p->block, response->status);
    }
    if (option.verify && p->op != BLKIF_OP_FLUSH_DISKCACHE) {
        if (p->op == BLKIF_OP_WRITE) {
            load.versions[p->block] = good ? p->version : 0;
        } else if (good) {
            verify_place(p);
        }
        load.locked[p->block] = 0;
    }
    p->busy = false;
}

/* Takes all responses that are there. One that no honest server sends ends the run. */
static void reap(uint64_t now)
{
    uint32_t prod = load_index(&front.ring->rsp_prod);
    if ((uint32_t)(prod - front.rsp_cons) > option.qd - free_count) {
        die(EXIT_RUN, "rsp_prod %u is past rsp_cons %u by more than the %u requests in flight", prod, front.rsp_cons,
                option.qd - free_count);
    }
    while (front.rsp_cons != prod) {
        struct response response;
        memcpy(&response, &front.ring->slots[front.rsp_cons & front.mask].response, sizeof response);
        __asm__ volatile("" : : "r"(&response) : "memory"); /* the copy is real */
        unsigned index = response.id & ((1u << SLOT_BITS) - 1);
        struct place *p = &places[index < option.qd ? index : 0];
        if (!p->busy || p->id != response.id || p->op != response.operation) {
            die(EXIT_RUN, "response %u: id %#llx, operation %u, status %d answers no request in flight", front.rsp_cons,
                    (unsigned long long)response.id, response.operation, response.status);
        }
        front.rsp_cons++;
        complete(p, &response, now);
        free_places[free_count++] = (uint16_t)index;
    }
}

static inline bool has_responses(void)
{
    return load_index(&front.ring->rsp_prod) != front.rsp_cons;
}

/* Returns when a response is there. */
static void wait_for_responses(void)
{
    if (has_responses()) {
        return;
    }
    if (option.spin_ns != 0) {
        uint64_t give_up = now_ns() + option.spin_ns;
        for (unsigned look = 1; look % SPIN_LOOKS_PER_CLOCK != 0 || now_ns() < give_up; look++) {
            cpu_relax();
            if (has_responses()) {
                return;
            }
        }
    }
    for (;;) {
        store_index(&front.ring->rsp_event, front.rsp_cons + 1);
        full_fence(); /* rsp_event is out before rsp_prod is read, or a response without call is missed */
        if (has_responses()) {
            return;
        }
        struct epoll_event events[2];
        int count = epoll_wait(server.epoll, events, 2, (int)(option.stall_ns / 1000000));
        stats.sleeps++;
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == server.socket) {
                if (has_responses()) { /* they count, even if the server has gone since */
                    return;
                }
                on_socket();
            }
        }
        if (count == 0 && has_responses() && epoll_wait(server.epoll, events, 1, 1000) == 0) {
            die(EXIT_RUN, "rsp_prod %u came without the call that rsp_event %u asked for", front.ring->rsp_prod,
                    front.ring->rsp_event);
        }
        if (count == 0 && !has_responses()) {
            die(EXIT_RUN, "no response for %llu s: %u in flight, req_prod %u, req_event %u, rsp_prod %u, rsp_cons %u",
                    (unsigned long long)(option.stall_ns / 1000000000), option.qd - free_count, front.req_prod,
                    front.ring->req_event, front.ring->rsp_prod, front.rsp_cons);
        }
    }
}

/* CPU time that all processes of the machine had so far, and what the hypervisor took; 0 if /proc/stat can't tell. */
static uint64_t machine_busy_ns(void)
{
    uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL) {
        return 0;
    }
    int fields = fscanf(file, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system, &idle, &iowait, &irq,
            &softirq, &steal);
    fclose(file);
    uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    return fields == 8 ? (user + nice + system + irq + softirq + steal) * tick_ns : 0;
}

/* Share of all CPUs, in percent, that neither server nor frontend had in the measured time: the noise. */
static double others_percent(void)
{
    double others = (double)stats.machine_busy_ns - (double)stats.cpu_ns - (double)stats.server_cpu_ns;
    double all = (double)stats.elapsed_ns * (double)sysconf(_SC_NPROCESSORS_ONLN);
    return others > 0 ? 100 * others / all : 0;
}

/* Keeps qd requests in the ring for duration_ns or max_requests or until the phase has no more; then drains. */
static void run_phase(enum phase phase, uint64_t duration_ns, uint64_t max_requests)
{
    uint64_t machine_busy = machine_busy_ns();
    uint64_t server_cpu = server.has_server_clock ? clock_ns(server.server_clock) : 0;
    uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t start = now_ns();
    uint64_t now = start;
    uint64_t submitted = 0;
    memset(&stats, 0, sizeof stats);
    load.phase = phase;
    load.next = 0;
    for (bool more = true;;) {
        more = more && now - start < duration_ns;
        while (more && free_count > 0) {
            more = submitted < max_requests && submit(now);
            submitted += more;
        }
        publish();
        if (free_count == option.qd) {
            break;
        }
        wait_for_responses();
        now = now_ns();
        reap(now);
    }
    stats.elapsed_ns = now_ns() - start;
    stats.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    stats.server_cpu_ns = server.has_server_clock ? clock_ns(server.server_clock) - server_cpu : 0;
    stats.machine_busy_ns = machine_busy_ns() - machine_busy;
}

/* ---- the report ---- */

static void report(uint64_t read_back)
{
    double requests = stats.requests != 0 ? (double)stats.requests : 1;
    double seconds = (double)stats.elapsed_ns / 1e9;
    double iops = (double)stats.requests / seconds;
    double mb_s = (double)stats.bytes / 1e6 / seconds;
    double p50 = percentile_us(0.50), p99 = percentile_us(0.99), p999 = percentile_us(0.999);
    double max = (double)stats.max_ns / 1e3;
    double cpu_us = (double)stats.cpu_ns / 1e3 / requests;
    double server_cpu_ns = server.has_server_clock ? (double)stats.server_cpu_ns / requests : -1;
    if (option.json) {
        printf("{\"rw\":\"%s\",\"qd\":%u,\"bs\":%llu,\"order\":%u,\"seconds\":%.6f,\"requests\":%llu,\"iops\":%.1f,"
               "\"mb_s\":%.2f,\"p50_us\":%.3f,\"p99_us\":%.3f,\"p999_us\":%.3f,\"max_us\":%.3f,\"cpu_us\":%.4f,"
               "\"server_cpu_ns\":%.1f,\"server_pid\":%d,\"others_percent\":%.1f,"
               "\"kicks\":%llu,\"sleeps\":%llu,\"errors\":%llu,"
               "\"verified\":%s,\"mismatches\":%llu,\"unwritten\":%llu,\"read_back\":%llu}\n",
                option.mode, option.qd, (unsigned long long)option.block_bytes, option.order, seconds,
                (unsigned long long)stats.requests, iops, mb_s, p50, p99, p999, max, cpu_us, server_cpu_ns,
                (int)server.server_pid, others_percent(), (unsigned long long)stats.kicks,
                (unsigned long long)stats.sleeps, (unsigned long long)stats.errors, option.verify ? "true" : "false",
                (unsigned long long)stats.mismatches, (unsigned long long)stats.unwritten,
                (unsigned long long)read_back);
        return;
    }
    printf("%s qd %u bs %llu: %llu requests in %.3f s, %.0f IOPS, %.1f MB/s\n", option.mode, option.qd,
            (unsigned long long)option.block_bytes, (unsigned long long)stats.requests, seconds, iops, mb_s);
    printf("latency us: p50 %.2f  p99 %.2f  p99.9 %.2f  max %.1f\n", p50, p99, p999, max);
    printf("CPU per request: frontend %.3f us, server %.0f ns (pid %d); kicks %.3f, sleeps %.3f per request\n", cpu_us,
            server_cpu_ns, (int)server.server_pid, (double)stats.kicks / requests, (double)stats.sleeps / requests);
    printf("CPU that others had meanwhile: %.0f %% of all\n", others_percent());
    printf("errors %llu", (unsigned long long)stats.errors);
    if (option.verify) {
        printf(", mismatching sectors %llu, zero sectors never written here %llu, blocks read back %llu",
                (unsigned long long)stats.mismatches, (unsigned long long)stats.unwritten,
                (unsigned long long)read_back);
    }
    putchar('\n');
}

__attribute__((noreturn)) static void usage(int code)
{
    fputs("usage: ring-frontend [options] SOCKET\n"
          "  --qd N               requests in flight, 1 to 512 (default 1)\n"
          "  --bs BYTES           bytes of a request, a multiple of 512 (default 4096); above 44K INDIRECT\n"
          "  --rw MODE            read, write, randread, randwrite or randrw (default randrw)\n"
          "  --read-percent P     share of reads in randrw (default 50)\n"
          "  --seconds S          how long (default 2), or\n"
          "  --requests N         how many\n"
          "  --warmup-seconds W   load before that, not measured (default 0); fractions allowed\n"
          "  --flush-every N      every Nth request is a FLUSH (default 0: none)\n"
          "  --size BYTES         touch only the first BYTES of the disk (default: all)\n"
          "  --disk NAME          disk to ask for (default: the server's default)\n"
          "  --order N            ring of 2^N pages, 0 to 4 (default: the smallest that holds --qd)\n"
          "  --verify             write a pattern of sector, seed and version, check reads, read all back at the end;\n"
          "                       with --rw read: check what an earlier --verify of the same --seed and --bs wrote\n"
          "  --seed S             of the pattern and of random choices (default 1)\n"
          "  --spin-us N          poll N us for a response before sleeping (default 0)\n"
          "  --cpu N              run on this core\n"
          "  --connect-seconds S  go on trying to connect for so long (default 0)\n"
          "  --stall-seconds S    give up when no response comes for so long (default 30)\n"
          "  --json               one line of JSON\n"
          "exit: 0 all right, 1 an error, a mismatch or a broken server, 2 usage\n",
            code == 0 ? stdout : stderr);
    exit(code);
}

static uint64_t parse_seconds(const char *name, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0) || seconds > 1e6) {
        die(EXIT_USAGE, "%s '%s': want seconds from 0 to 1000000", name, text);
    }
    return (uint64_t)(seconds * 1e9);
}

static void parse_mode(const char *mode)
{
    static const struct {
        const char *name;
        bool random;
        unsigned read_percent;
    } modes[] = {
        {"read", false, 100}, {"write", false, 0},
        {"randread", true, 100}, {"randwrite", true, 0}, {"randrw", true, 50},
    };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(mode, modes[i].name) == 0) {
            option.mode = modes[i].name;
            option.random = modes[i].random;
            option.read_percent = modes[i].read_percent;
            return;
        }
    }
    die(EXIT_USAGE, "--rw '%s': want read, write, randread, randwrite or randrw", mode);
}

static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"qd", required_argument, NULL, 'q'}, {"bs", required_argument, NULL, 'b'},
        {"rw", required_argument, NULL, 'm'}, {"read-percent", required_argument, NULL, 'p'},
        {"seconds", required_argument, NULL, 't'}, {"requests", required_argument, NULL, 'n'},
        {"warmup-seconds", required_argument, NULL, 'w'}, {"flush-every", required_argument, NULL, 'f'},
        {"size", required_argument, NULL, 's'}, {"disk", required_argument, NULL, 'd'},
        {"order", required_argument, NULL, 'o'}, {"verify", no_argument, NULL, 'v'},
        {"seed", required_argument, NULL, 'S'}, {"spin-us", required_argument, NULL, 'u'},
        {"cpu", required_argument, NULL, 'c'}, {"connect-seconds", required_argument, NULL, 'C'},
        {"stall-seconds", required_argument, NULL, 'T'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'}, {0},
    };
    const uint64_t most_bytes = (uint64_t)MAX_SEGMENTS * PAGE_BYTES;
    int read_percent = -1;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'q': option.qd = (unsigned)parse_number("--qd", optarg, 1, MAX_QD); break;
        case 'b': option.block_bytes = parse_number("--bs", optarg, SECTOR_BYTES, most_bytes); break;
        case 'm': parse_mode(optarg); break;
        case 'p': read_percent = (int)parse_number("--read-percent", optarg, 0, 100); break;
        case 't': option.seconds_ns = parse_seconds("--seconds", optarg); break;
        case 'n': option.max_requests = parse_number("--requests", optarg, 1, UINT64_MAX); break;
        case 'w': option.warmup_ns = parse_seconds("--warmup-seconds", optarg); break;
        case 'f': option.flush_every = parse_number("--flush-every", optarg, 0, UINT64_MAX); break;
        case 's': option.size_bytes = parse_number("--size", optarg, SECTOR_BYTES, UINT64_MAX); break;
        case 'd': option.disk_name = optarg; break;
        case 'o': option.order = (unsigned)parse_number("--order", optarg, 0, MAX_RING_ORDER); break;
        case 'v': option.verify = true; break;
        case 'S': option.seed = parse_number("--seed", optarg, 0, UINT64_MAX); break;
        case 'u': option.spin_ns = parse_number("--spin-us", optarg, 0, 1000000) * 1000; break;
        case 'c': pin_to_cpu((unsigned)parse_number("--cpu", optarg, 0, CPU_SETSIZE - 1)); break;
        case 'C': option.connect_ns = parse_seconds("--connect-seconds", optarg); break;
        case 'T': option.stall_ns = parse_seconds("--stall-seconds", optarg); break;
        case 'j': option.json = true; break;
        case 'h': usage(0);
        default: usage(EXIT_USAGE);
        }
    }
    if (argc - optind != 1) {
        usage(EXIT_USAGE);
    }
    option.path = argv[optind];
    if (option.block_bytes % SECTOR_BYTES != 0) {
        die(EXIT_USAGE, "--bs %llu is no multiple of 512", (unsigned long long)option.block_bytes);
    }
    if (read_percent >= 0) {
        if (strcmp(option.mode, "randrw") != 0) {
            die(EXIT_USAGE, "--read-percent goes with --rw randrw, not %s", option.mode);
        }
        option.read_percent = (unsigned)read_percent;
    }
    if (strlen(option.disk_name) > MAX_NAME_BYTES) {
        die(EXIT_USAGE, "--disk: the name has more than 255 bytes");
    }
    if (option.stall_ns < 1000000 || option.stall_ns > 2000000000000ull) {
        die(EXIT_USAGE, "--stall-seconds: want 0.001 to 2000");
    }
    if (option.seconds_ns == 0 && option.max_requests == 0) {
        option.seconds_ns = 2000000000;
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    load.random_state = mix(option.seed);
    unsigned segments = connect_to_server();

    uint64_t errors = 0, mismatches = 0, read_back = 0;
    if (option.warmup_ns != 0) {
        run_phase(PHASE_LOAD, option.warmup_ns, UINT64_MAX);
        errors += stats.errors;
        mismatches += stats.mismatches;
    }
    run_phase(PHASE_LOAD, option.seconds_ns != 0 ? option.seconds_ns : UINT64_MAX,
            option.max_requests != 0 ? option.max_requests : UINT64_MAX);
    struct statistics measured = stats;
    if (option.verify) {
        run_phase(PHASE_READBACK, UINT64_MAX, UINT64_MAX);
        read_back = stats.requests;
        verify_guards(segments);
        errors += stats.errors;
        mismatches += stats.mismatches;
    }
    stats = measured;
    stats.errors += errors;
    stats.mismatches += mismatches;
    report(read_back);
    return stats.errors != 0 || stats.mismatches != 0 ? EXIT_RUN : 0;
}
