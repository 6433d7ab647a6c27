/*
 * The loopback tap's ring and handshake, as the C yardstick and the load generator see them.
 *
 * Ring: Xen's io/ring.h and io/blkif.h, ABI string "x86_64-abi" only. Handshake: docs/protocols/loopback.md. Every
 * offset is held by a static assert, so a field that moves breaks the build and not the benchmark.
 *
 * Index protocol: the side that stores an index and then looks at what the peer stored needs a full fence between the
 * two (store-load); acquire and release do for everything else.
 */
#ifndef BLOCKTAP_RING_H
#define BLOCKTAP_RING_H

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define OFFSET_IS(type, field, at) _Static_assert(offsetof(type, field) == (at), #type "." #field " is not at " #at)
#define SIZE_IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " does not have " #bytes " bytes")

enum {
    PAGE_BYTES = 4096,
    SECTOR_BYTES = 512,
    SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES,
    MAX_DIRECT_SEGMENTS = 11,
    MAX_INDIRECT_GREFS = 8,
    SEGMENTS_PER_INDIRECT_PAGE = 512,
    MAX_RING_ORDER = 4,
    MAX_DATA_PAGES = 16384,
};

enum {
    BLKIF_OP_READ = 0,
    BLKIF_OP_WRITE = 1,
    BLKIF_OP_FLUSH_DISKCACHE = 3,
    BLKIF_OP_DISCARD = 5,
    BLKIF_OP_INDIRECT = 6,
};

enum {
    BLKIF_RSP_OKAY = 0,
    BLKIF_RSP_ERROR = -1,
    BLKIF_RSP_EOPNOTSUPP = -2,
};

/* ---- the ring ---- */

struct segment {
    uint32_t gref;
    uint8_t first_sect; /* both inclusive, 0..7 */
    uint8_t last_sect;
    uint16_t pad;
};
SIZE_IS(struct segment, 8);
OFFSET_IS(struct segment, first_sect, 4);
OFFSET_IS(struct segment, last_sect, 5);

struct rw_request { /* READ, WRITE, FLUSH */
    uint8_t operation;
    uint8_t nr_segments;
    uint16_t handle;
    uint32_t pad;
    uint64_t id;
    uint64_t sector_number;
    struct segment seg[MAX_DIRECT_SEGMENTS];
};
SIZE_IS(struct rw_request, 112);
OFFSET_IS(struct rw_request, nr_segments, 1);
OFFSET_IS(struct rw_request, handle, 2);
OFFSET_IS(struct rw_request, id, 8);
OFFSET_IS(struct rw_request, sector_number, 16);
OFFSET_IS(struct rw_request, seg, 24);

struct discard_request {
    uint8_t operation;
    uint8_t flag; /* bit 0: secure */
    uint16_t handle;
    uint32_t pad;
    uint64_t id;
    uint64_t sector_number;
    uint64_t nr_sectors;
};
SIZE_IS(struct discard_request, 32);
OFFSET_IS(struct discard_request, flag, 1);
OFFSET_IS(struct discard_request, id, 8);
OFFSET_IS(struct discard_request, sector_number, 16);
OFFSET_IS(struct discard_request, nr_sectors, 24);

struct indirect_request {
    uint8_t operation;
    uint8_t indirect_op; /* READ or WRITE; the response carries this one */
    uint16_t nr_segments;
    uint32_t pad;
    uint64_t id;
    uint64_t sector_number;
    uint16_t handle;
    uint16_t pad2;
    uint32_t grefs[MAX_INDIRECT_GREFS];
};
SIZE_IS(struct indirect_request, 64);
OFFSET_IS(struct indirect_request, indirect_op, 1);
OFFSET_IS(struct indirect_request, nr_segments, 2);
OFFSET_IS(struct indirect_request, id, 8);
OFFSET_IS(struct indirect_request, sector_number, 16);
OFFSET_IS(struct indirect_request, handle, 24);
OFFSET_IS(struct indirect_request, grefs, 28);

struct response {
    uint64_t id;
    uint8_t operation;
    uint8_t pad;
    int16_t status;
    uint32_t pad2;
};
SIZE_IS(struct response, 16);
OFFSET_IS(struct response, operation, 8);
OFFSET_IS(struct response, status, 10);

union slot {
    struct rw_request rw;
    struct discard_request discard;
    struct indirect_request indirect;
    struct response response;
};
SIZE_IS(union slot, 112);

struct ring {
    uint32_t req_prod;  /* frontend: requests produced */
    uint32_t req_event; /* backend: kick me when req_prod passes this */
    uint32_t rsp_prod;  /* backend: responses produced */
    uint32_t rsp_event; /* frontend: call me when rsp_prod passes this */
    uint8_t private_area[48];
    union slot slots[];
};
OFFSET_IS(struct ring, req_event, 4);
OFFSET_IS(struct ring, rsp_prod, 8);
OFFSET_IS(struct ring, rsp_event, 12);
OFFSET_IS(struct ring, slots, 64);

/* Slots in a ring of 2^order pages: the largest power of two that fits, 32 << order for this ABI. */
static inline uint32_t ring_slots(unsigned order)
{
    return 32u << order;
}
_Static_assert(64 + 32 * 112 <= 4096 && 64 + 64 * 112 > 4096, "32 slots a page");
_Static_assert(64 + 512 * 112 <= 16 * 4096 && 64 + 1024 * 112 > 16 * 4096, "512 slots in 16 pages");

static inline uint32_t load_index(const uint32_t *index)
{
    return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

static inline void store_index(uint32_t *index, uint32_t value)
{
    __atomic_store_n(index, value, __ATOMIC_RELEASE);
}

static inline void full_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void cpu_relax(void)
{
    __builtin_ia32_pause();
}

/* Did the producer, going from old to new, pass the peer's event index? Free-running u32 arithmetic. */
static inline bool event_passed(uint32_t event, uint32_t old_prod, uint32_t new_prod)
{
    return (uint32_t)(new_prod - event) < (uint32_t)(new_prod - old_prod);
}

/* Rings the peer's eventfd. EAGAIN means that its counter is full: the peer is readable as it is, nothing is lost. */
static inline void ring_doorbell(int eventfd)
{
    const uint64_t one = 1;
    ssize_t written;
    do {
        written = write(eventfd, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
}

/* ---- the handshake, little-endian like the machine (x86_64 only) ---- */

#define HANDSHAKE_MAGIC "BTAPLOOP"

enum { HANDSHAKE_VERSION = 1 };
enum { TYPE_HELLO = 1, TYPE_WELCOME = 2, TYPE_REFUSED = 3, TYPE_GEOMETRY = 4 };
enum { ABI_X86_64 = 0, ABI_X86_32 = 1 };
enum { GEOMETRY_READ_ONLY = 1, GEOMETRY_FLUSH = 2, GEOMETRY_DISCARD = 4, GEOMETRY_ROTATIONAL = 8 };
enum { HELLO_FIXED_BYTES = 26, REFUSED_FIXED_BYTES = 18, MAX_NAME_BYTES = 255 };

struct handshake_header {
    char magic[8];
    uint16_t version;
    uint16_t type;
    uint32_t zero;
};
SIZE_IS(struct handshake_header, 16);
OFFSET_IS(struct handshake_header, version, 8);
OFFSET_IS(struct handshake_header, type, 10);

struct hello { /* on the wire: HELLO_FIXED_BYTES + name_bytes */
    struct handshake_header header;
    uint8_t abi;
    uint8_t order;
    uint16_t zero;
    uint32_t data_pages;
    uint16_t name_bytes;
    char name[MAX_NAME_BYTES];
};
OFFSET_IS(struct hello, abi, 16);
OFFSET_IS(struct hello, order, 17);
OFFSET_IS(struct hello, data_pages, 20);
OFFSET_IS(struct hello, name_bytes, 24);
OFFSET_IS(struct hello, name, HELLO_FIXED_BYTES);

struct welcome { /* WELCOME, and GEOMETRY without descriptors */
    struct handshake_header header;
    uint64_t capacity_sectors;
    uint32_t logical_block_bytes;
    uint32_t physical_block_bytes;
    uint32_t flags;
    uint32_t max_indirect_segments;
    uint32_t discard_granularity_bytes;
    uint32_t data_pages;
};
SIZE_IS(struct welcome, 48);
OFFSET_IS(struct welcome, capacity_sectors, 16);
OFFSET_IS(struct welcome, logical_block_bytes, 24);
OFFSET_IS(struct welcome, physical_block_bytes, 28);
OFFSET_IS(struct welcome, flags, 32);
OFFSET_IS(struct welcome, max_indirect_segments, 36);
OFFSET_IS(struct welcome, discard_granularity_bytes, 40);
OFFSET_IS(struct welcome, data_pages, 44);

struct refused { /* on the wire: REFUSED_FIXED_BYTES + text_bytes */
    struct handshake_header header;
    uint16_t text_bytes;
    char text[494];
};
OFFSET_IS(struct refused, text_bytes, 16);
OFFSET_IS(struct refused, text, REFUSED_FIXED_BYTES);

static inline struct handshake_header handshake_header(uint16_t type)
{
    struct handshake_header header = {.version = HANDSHAKE_VERSION, .type = type};
    memcpy(header.magic, HANDSHAKE_MAGIC, sizeof header.magic);
    return header;
}

static inline bool header_is(const struct handshake_header *header, uint16_t type)
{
    return memcmp(header->magic, HANDSHAKE_MAGIC, sizeof header->magic) == 0
            && header->version == HANDSHAKE_VERSION && header->type == type && header->zero == 0;
}

/* ---- what both programs need of a C library ---- */

enum { EXIT_RUN = 1, EXIT_USAGE = 2 };

__attribute__((noreturn, format(printf, 2, 3))) static inline void die(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(code);
}

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline void pin_to_cpu(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu < CPU_SETSIZE) {
        CPU_SET(cpu, &set);
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        die(EXIT_RUN, "--cpu %u: %s", cpu, strerror(errno));
    }
}

static inline struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        die(EXIT_USAGE, "socket path '%s' is longer than %zu bytes; choose a shorter directory", path,
                sizeof address.sun_path - 1);
    }
    strcpy(address.sun_path, path);
    return address;
}

/* A count or, with K, M, G or T behind it, that many binary units. */
static inline uint64_t parse_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    static const char suffixes[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    if (*end != '\0') {
        const char *suffix = strchr(suffixes, *end);
        shift = suffix != NULL && end[1] == '\0' ? 10u * (unsigned)(suffix - suffixes + 1) : 64u;
    }
    if (errno != 0 || end == text || text[0] == '-' || shift == 64 || value > UINT64_MAX >> shift
            || value << shift < min || value << shift > max) {
        die(EXIT_USAGE, "%s '%s': want a number from %llu to %llu (suffixes K, M, G, T)", option, text,
                (unsigned long long)min, (unsigned long long)max);
    }
    return value << shift;
}

#endif
