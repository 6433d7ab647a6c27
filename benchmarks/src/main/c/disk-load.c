/*
 * The load generator for a disk as a guest's programs see it: O_DIRECT requests on a block device, a fixed number of
 * them on their way at any time (Linux AIO), for a fixed time. Made for the smallest of guests: static, no library but
 * libc, one thread.
 *
 *     disk-load DEVICE read|write|randread|randwrite BYTES QD SECONDS
 *
 * Prints one line: requests, seconds, errors, median and 99th percentile of the time of a request in microseconds.
 * Exit: 0 done, 1 a request failed or the device can't be used, 2 usage. What is written is zeroes and request numbers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_QD = 256, MAX_BYTES = 1 << 20, MAX_SAMPLES = 1 << 20 };

static uint32_t micros[MAX_SAMPLES]; /* of the first MAX_SAMPLES requests */

static void die(const char *what)
{
    fprintf(stderr, "disk-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static unsigned long number(const char *text, unsigned long max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || value < 1 || value > max) {
        fprintf(stderr, "disk-load: %s: want a number of 1 to %lu\n", text, max);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: disk-load DEVICE read|write|randread|randwrite BYTES QD SECONDS\n");
        return 2;
    }
    bool random = strncmp(argv[2], "rand", 4) == 0;
    const char *direction = argv[2] + (random ? 4 : 0);
    bool writes = strcmp(direction, "write") == 0;
    if (!writes && strcmp(direction, "read") != 0) {
        fprintf(stderr, "disk-load: %s: want read, write, randread or randwrite\n", argv[2]);
        return 2;
    }
    size_t bytes = number(argv[3], MAX_BYTES);
    unsigned qd = (unsigned)number(argv[4], MAX_QD);
    uint64_t length_ns = number(argv[5], 3600) * 1000000000u;

    int fd = open(argv[1], (writes ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    uint64_t disk_bytes;
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &disk_bytes) < 0)
        die(argv[1]);
    uint64_t blocks = disk_bytes / bytes;
    char *data;
    aio_context_t context = 0;
    if (blocks == 0 || posix_memalign((void **)&data, 4096, qd * bytes) != 0) {
        fprintf(stderr, "disk-load: %s is smaller than a request, or no memory\n", argv[1]);
        return 1;
    }
    memset(data, 0, qd * bytes);
    if (syscall(SYS_io_setup, qd, &context) < 0)
        die("io_setup");

    static struct iocb requests[MAX_QD], *batch[MAX_QD];
    static uint64_t started_ns[MAX_QD];
    static struct io_event events[MAX_QD];
    uint64_t state = 0x9e3779b97f4a7c15u, sequence = 0, done = 0, errors = 0, samples = 0;
    unsigned ready = qd, in_flight = 0;
    for (unsigned i = 0; i < qd; i++) {
        requests[i].aio_fildes = (uint32_t)fd;
        requests[i].aio_lio_opcode = writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
        requests[i].aio_buf = (uintptr_t)(data + i * bytes);
        requests[i].aio_nbytes = bytes;
        requests[i].aio_data = i;
        batch[i] = &requests[i];
    }

    uint64_t start_ns = now_ns(), clock_ns = start_ns;
    while (clock_ns - start_ns < length_ns || in_flight > 0) {
        if (clock_ns - start_ns < length_ns) {
            for (unsigned i = 0; i < ready; i++) {
                uint64_t block = (random ? next_random(&state) : sequence) % blocks;
                batch[i]->aio_offset = (int64_t)(block * bytes);
                started_ns[batch[i]->aio_data] = clock_ns;
                memcpy(data + batch[i]->aio_data * bytes, &sequence, sizeof sequence);
                sequence++;
            }
            for (unsigned sent = 0; sent < ready;) {
                long n = syscall(SYS_io_submit, context, (long)(ready - sent), batch + sent);
                if (n <= 0)
                    die("io_submit");
                sent += (unsigned)n;
            }
            in_flight += ready;
        }
        long n = syscall(SYS_io_getevents, context, 1L, (long)qd, events, NULL);
        if (n < 0 && errno != EINTR)
            die("io_getevents");
        ready = n < 0 ? 0 : (unsigned)n;
        in_flight -= ready;
        clock_ns = now_ns();
        for (unsigned i = 0; i < ready; i++) {
            errors += events[i].res != (int64_t)bytes;
            if (samples < MAX_SAMPLES)
                micros[samples++] = (uint32_t)((clock_ns - started_ns[events[i].data]) / 1000);
            batch[i] = &requests[events[i].data];
        }
        done += ready;
    }
    qsort(micros, samples, sizeof micros[0], by_value);
    printf("requests %llu seconds %.6f errors %llu p50_us %u p99_us %u\n", (unsigned long long)done,
        (double)(clock_ns - start_ns) / 1e9, (unsigned long long)errors, samples ? micros[samples / 2] : 0,
        samples ? micros[samples * 99 / 100] : 0);
    return errors != 0;
}
