/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory overwrite request from Linux: a pattern in memory that the kernel's command line keeps
 * from the kernel (memmap=), and that firmware leaves alone as well, is looked for after a reboot.
 *
 * Neighbours: guest-check.c runs these; checks-ppi.c has the rest of the interface.
 */
#include "guest-check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* As run-guest.py tells the kernel. */
#define KEPT_ADDRESS 0x10000000u
#define KEPT_SIZE    0x400000u

/* The page that holds the request (hw/tpm/ppi-layout.h). */
#define PPI_ADDRESS   0xFED45000u
#define PPI_PAGE_SIZE 0x1000u
#define PPI_MOVV      0x15Au
#define MOVV_CLEAR    0x01u

/* Neither is RAM to the kernel, so that /dev/mem gives it. NULL, with errno set, when not. */
static volatile void *map_memory(uint32_t address, size_t size)
{
    int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    void *memory =
        fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, address);

    if (fd >= 0) {
        close(fd);
    }
    return memory == MAP_FAILED ? NULL : memory;
}

static uint32_t pattern(uint32_t i)
{
    return (i ^ 0x5A5AA5A5u) * 2654435761u;
}

char *check_mor_fill(Guest *guest)
{
    volatile uint32_t *memory = map_memory(KEPT_ADDRESS, KEPT_SIZE);

    (void)guest;
    if (!memory) {
        return g_strdup_printf("/dev/mem: %s", g_strerror(errno));
    }
    for (uint32_t i = 0; i < KEPT_SIZE / 4; i++) {
        memory[i] = pattern(i);
    }
    munmap((void *)memory, KEPT_SIZE);
    return NULL;
}

/* Is every word the pattern's, or else 0? */
static char *compare(bool filled)
{
    volatile uint32_t *memory = map_memory(KEPT_ADDRESS, KEPT_SIZE);
    char *wrong = memory ? NULL : g_strdup_printf("/dev/mem: %s", g_strerror(errno));

    for (uint32_t i = 0; i < KEPT_SIZE / 4 && !wrong; i++) {
        uint32_t expected = filled ? pattern(i) : 0;
        uint32_t found = memory[i];

        if (found != expected) {
            wrong = g_strdup_printf("word %u is 0x%x, not 0x%x", i, found, expected);
        }
    }
    if (memory) {
        munmap((void *)memory, KEPT_SIZE);
    }
    return wrong;
}

char *check_mor_memory_kept(Guest *guest)
{
    (void)guest;
    return compare(true);
}

char *check_mor_memory_cleared(Guest *guest)
{
    (void)guest;
    return compare(false);
}

bool mor_memory_is_filled(void)
{
    volatile uint32_t *memory = map_memory(KEPT_ADDRESS, KEPT_SIZE);
    bool filled = memory && memory[0] == pattern(0);

    if (memory) {
        munmap((void *)memory, KEPT_SIZE);
    }
    return filled;
}

/* Nothing must be asked for yet; then, if `request`, it is. */
static char *expect_no_request(bool request)
{
    volatile uint8_t *ppi = map_memory(PPI_ADDRESS, PPI_PAGE_SIZE);

    if (!ppi) {
        return g_strdup_printf("/dev/mem: %s", g_strerror(errno));
    }
    uint8_t movv = ppi[PPI_MOVV];

    if (request) {
        ppi[PPI_MOVV] = MOVV_CLEAR;
    }
    munmap((void *)ppi, PPI_PAGE_SIZE);
    return movv == 0 ? NULL : g_strdup_printf("MOVV is %u", movv);
}

char *check_mor_request(Guest *guest)
{
    (void)guest;
    return expect_no_request(true);
}

char *check_mor_taken(Guest *guest)
{
    (void)guest;
    return expect_no_request(false);
}
