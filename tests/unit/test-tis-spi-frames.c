/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames of a TIS device on SPI, all of them: every offset with every size, held against a
 * memory-mapped device that was treated the same; and cut for the bus in every way, which must
 * change nothing.
 */
#include "spi-driver.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEADER    4
#define BURST_MAX 64u
#define PAGE_SIZE 0x1000u

/* ---- two devices that are treated the same ---- */

typedef struct Pair {
    TISMachine *spi;
    TISMachine *memory;
} Pair;

static TISMachine *new_machine(TPMInterface interface, unsigned wait_states)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_TIS_BUFFER_SIZE);

    machine->config.interface = interface;
    machine->config.wait_states = wait_states;
    tis_machine_plug(machine);
    return machine;
}

static int setup(void **state)
{
    Pair *pair = g_new0(Pair, 1);

    pair->spi = new_machine(TPM_INTERFACE_TIS_SPI, 0);
    pair->memory = new_machine(TPM_INTERFACE_TIS, 0);
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    Pair *pair = *state;

    tis_machine_free(pair->spi);
    tis_machine_free(pair->memory);
    g_free(pair);
    return 0;
}

/* ---- what a frame is in memory ---- */

static bool is_fifo(uint32_t address)
{
    uint32_t offset = address % PAGE_SIZE;

    return (offset >= 0x24 && offset < 0x28) || (offset >= 0x80 && offset < 0xC0);
}

/* The widest aligned access there is. */
static unsigned width_at(uint32_t address, size_t left)
{
    return address % 4 == 0 && left >= 4 ? 4 : address % 2 == 0 && left >= 2 ? 2 : 1;
}

/* No burst count is larger than a frame. */
static void limit_burst(TISMachine *memory, uint32_t address, uint8_t *bytes, size_t size)
{
    uint32_t sts = (uint32_t)tis_read(memory, address / PAGE_SIZE, REG_STS, 4);
    uint32_t burst = MIN(sts >> 8 & 0xFFFF, BURST_MAX);

    for (size_t i = 0; i < size && sts != UINT32_MAX; i++) {
        uint32_t offset = (address + (uint32_t)i) % PAGE_SIZE;

        if (offset == REG_STS + 1 || offset == REG_STS + 2) {
            bytes[i] = (uint8_t)(burst >> 8 * (offset - REG_STS - 1));
        }
    }
}

static void memory_read(TISMachine *memory, uint32_t address, uint8_t *bytes, size_t size)
{
    size_t inside = is_fifo(address) ? size : MIN(size, PAGE_SIZE - address % PAGE_SIZE);

    memset(bytes, 0xFF, size);
    for (size_t i = 0; i < inside;) {
        unsigned width = is_fifo(address) ? 1 : width_at(address + (uint32_t)i, inside - i);
        uint64_t value = tis_read(memory, 0, address + (is_fifo(address) ? 0 : (uint32_t)i), width);

        for (unsigned n = 0; n < width; n++) {
            bytes[i++] = (uint8_t)(value >> 8 * n);
        }
    }
    if (!is_fifo(address)) {
        limit_burst(memory, address, bytes, inside);
    }
}

static void memory_write(TISMachine *memory, uint32_t address, const uint8_t *bytes, size_t size)
{
    size_t inside = is_fifo(address) ? size : MIN(size, PAGE_SIZE - address % PAGE_SIZE);

    for (size_t i = 0; i < inside;) {
        unsigned width = is_fifo(address) ? 1 : width_at(address + (uint32_t)i, inside - i);
        uint64_t value = 0;

        for (unsigned n = 0; n < width; n++) {
            value |= (uint64_t)bytes[i + n] << 8 * n;
        }
        tis_write(memory, 0, address + (is_fifo(address) ? 0 : (uint32_t)i), width, value);
        i += width;
    }
}

/* ---- every offset with every size ---- */

static void assert_reads_the_same(Pair *pair, uint32_t address, size_t size)
{
    SPIDriver driver = { .device = pair->spi->device };
    uint8_t here[SPI_FRAME_MAX], there[SPI_FRAME_MAX];

    assert_true(spi_frame(&driver, true, address, here, size));
    memory_read(pair->memory, address, there, size);
    if (memcmp(here, there, size) != 0) {
        fail_msg("%zu bytes at %05x differ", size, address);
    }
}

static void write_both(Pair *pair, uint32_t address, uint8_t *bytes, size_t size)
{
    SPIDriver driver = { .device = pair->spi->device };

    assert_true(spi_frame(&driver, false, address, bytes, size));
    memory_write(pair->memory, address, bytes, size);
}

static void write_both_u32(Pair *pair, uint32_t address, uint32_t value)
{
    uint8_t bytes[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                         (uint8_t)(value >> 24) };

    write_both(pair, address, bytes, sizeof(bytes));
}

/* A response of 200 bytes at locality 2, an interrupt that is pending, a lock. */
static void make_interesting(Pair *pair)
{
    uint8_t command[12];

    memcpy(command, command_2_0, sizeof(command));
    fake_backend_respond_with_size(pair->spi->tpm, 200);
    fake_backend_respond_with_size(pair->memory->tpm, 200);
    write_both_u32(pair, 0x2000 | REG_ACCESS, ACCESS_REQUEST);
    write_both_u32(pair, 0x2000 | REG_INT_ENABLE, INT_ALL);
    write_both_u32(pair, 0x3000 | REG_INTERFACE_ID, 1u << 19);
    write_both_u32(pair, 0x2000 | REG_STS, STS_READY);
    write_both(pair, 0x2000 | REG_FIFO, command, sizeof(command));
    write_both_u32(pair, 0x2000 | REG_STS, STS_GO);
    assert_true(tis_has_response(pair->memory, 2));
}

static void test_every_offset_and_size_reads_as_memory_does(void **state)
{
    for (uint32_t offset = 0; offset < PAGE_SIZE; offset++) {
        for (size_t size = 1; size <= SPI_FRAME_MAX; size++) {
            assert_reads_the_same(*state, offset, size);
        }
    }
}

/* The FIFO is read dry on the way, the same on both; the retry brings it back. */
static void test_every_offset_and_size_reads_as_memory_does_with_a_response(void **state)
{
    Pair *pair = *state;

    make_interesting(pair);
    for (uint32_t offset = 0; offset < PAGE_SIZE; offset += offset < 0xC0 ? 1 : 0x40) {
        for (size_t size = 1; size <= SPI_FRAME_MAX; size++) {
            write_both_u32(pair, 0x2000 | REG_STS, STS_RETRY);
            assert_reads_the_same(pair, 0x2000 | offset, size);
            assert_reads_the_same(pair, 0x2000 | REG_STS, 4);
        }
    }
}

/* Everything a guest can see of both, at the localities that are written to. */
static void assert_look_the_same(Pair *pair)
{
    for (uint32_t locality = 0; locality < 3; locality++) {
        assert_reads_the_same(pair, locality << 12, 0x20);
        assert_reads_the_same(pair, locality << 12 | REG_INTERFACE_ID, 4);
    }
    assert_int_equal(fake_host_irq(&pair->spi->host), fake_host_irq(&pair->memory->host));
    assert_int_equal(pair->spi->tpm->submits, pair->memory->tpm->submits);
    assert_int_equal(tis_statistics(pair->spi).commands, tis_statistics(pair->memory).commands);
}

/* Bits that do something, in an order that two equal seeds repeat. */
static void fill(uint32_t *seed, uint8_t *bytes, size_t size)
{
    static const uint8_t likely[] = { 0x00, 0x02, 0x08, 0x20, 0x40, 0x80, 0x87, 0xFF };

    for (size_t i = 0; i < size; i++) {
        *seed = *seed * 1664525 + 1013904223;
        bytes[i] = likely[*seed >> 29];
    }
}

static void test_every_offset_and_size_writes_as_memory_does(void **state)
{
    Pair *pair = *state;
    uint32_t seed = 1;

    for (uint32_t offset = 0; offset < PAGE_SIZE; offset += offset == 0xC0 ? 0xE80 : 1) {
        for (size_t size = 1; size <= SPI_FRAME_MAX; size++) {
            uint8_t bytes[SPI_FRAME_MAX];

            fill(&seed, bytes, sizeof(bytes));
            write_both(pair, offset % 3 << 12 | offset, bytes, size);
            assert_look_the_same(pair);
        }
    }
    assert_true(tis_statistics(pair->spi).interrupts > 0);
}

/* ---- every way to cut a frame ---- */

/* A frame, and where the bus cuts it: before byte i if cut[i]. */
typedef struct Frame {
    uint8_t out[HEADER + SPI_FRAME_MAX];
    uint8_t in[HEADER + SPI_FRAME_MAX];
    size_t size;
    bool cut[HEADER + SPI_FRAME_MAX];
} Frame;

static void frame_init(Frame *frame, bool is_read, uint32_t address, size_t size)
{
    memset(frame, 0, sizeof(*frame));
    spi_header(frame->out, is_read, address, size);
    frame->size = HEADER + size;
}

static void run_frame(TISMachine *machine, Frame *frame)
{
    size_t from = 0;

    memset(frame->in, 0xA5, sizeof(frame->in));
    tpmdev_device_spi_select(machine->device, true);
    for (size_t i = 1; i <= frame->size; i++) {
        if (i == frame->size || frame->cut[i]) {
            tpmdev_device_spi_transfer(machine->device, frame->out + from, frame->in + from,
                                       i - from);
            from = i;
        }
    }
    tpmdev_device_spi_select(machine->device, false);
}

/* Brings the device to where the frame begins, and tells what it has led to. */
typedef struct Case {
    void (*begin)(TISMachine *machine);
    uint64_t (*end)(TISMachine *machine);
} Case;

static void assert_cut_changes_nothing(TISMachine *machine, const Case *test, Frame *frame,
                                       const Frame *whole, uint64_t outcome)
{
    test->begin(machine);
    run_frame(machine, frame);
    assert_memory_equal(frame->in, whole->in, frame->size);
    assert_int_equal(test->end(machine), outcome);
}

/* All 2^(n-1) ways; for frames of a few bytes. */
static void assert_all_cuts(TISMachine *machine, const Case *test, Frame *frame)
{
    test->begin(machine);
    run_frame(machine, frame);
    Frame whole = *frame;
    uint64_t outcome = test->end(machine);

    for (uint32_t cuts = 1; cuts < 1u << (frame->size - 1); cuts++) {
        for (size_t i = 1; i < frame->size; i++) {
            frame->cut[i] = cuts >> (i - 1) & 1;
        }
        assert_cut_changes_nothing(machine, test, frame, &whole, outcome);
    }
}

/* One cut at each place, and pieces of each size. */
static void assert_single_and_regular_cuts(TISMachine *machine, const Case *test, Frame *frame)
{
    test->begin(machine);
    run_frame(machine, frame);
    Frame whole = *frame;
    uint64_t outcome = test->end(machine);

    for (size_t at = 1; at < frame->size; at++) {
        memset(frame->cut, 0, sizeof(frame->cut));
        frame->cut[at] = true;
        assert_cut_changes_nothing(machine, test, frame, &whole, outcome);
        for (size_t i = at; i < frame->size; i++) {
            frame->cut[i] = i % at == 0;
        }
        assert_cut_changes_nothing(machine, test, frame, &whole, outcome);
    }
}

static uint32_t reg(TISMachine *machine, uint32_t offset)
{
    SPIDriver driver = { .device = machine->device };

    return spi_read(&driver, 0, offset, 4);
}

static void set_reg(TISMachine *machine, uint32_t offset, uint32_t value)
{
    SPIDriver driver = { .device = machine->device };

    spi_write(&driver, 0, offset, 4, value);
}

static void begin_anyhow(TISMachine *machine)
{
    set_reg(machine, REG_ACCESS, ACCESS_REQUEST);
    set_reg(machine, REG_INT_ENABLE, 0x08);
}

static uint64_t end_with_registers(TISMachine *machine)
{
    return (uint64_t)reg(machine, REG_INT_ENABLE) << 32 | reg(machine, REG_STS);
}

static void begin_ready(TISMachine *machine)
{
    set_reg(machine, REG_ACCESS, ACCESS_REQUEST);
    set_reg(machine, REG_STS, STS_READY);
}

/* How much of a command has come, as the fake TPM or the FIFO tells. */
static uint64_t end_with_command(TISMachine *machine)
{
    uint64_t sum = reg(machine, REG_STS);

    set_reg(machine, REG_STS, STS_GO);
    for (size_t i = 0; i < machine->tpm->command_size; i++) {
        sum = sum * 31 + machine->tpm->command[i];
    }
    sum = sum * 31 + reg(machine, REG_STS);
    tpmdev_device_reset(machine->device);
    return sum;
}

static void begin_with_response(TISMachine *machine)
{
    if (!(reg(machine, REG_STS) & 0x80) || reg(machine, REG_STS) == UINT32_MAX) {
        SPIDriver driver = { .device = machine->device };
        uint8_t command[12];

        memcpy(command, command_2_0, sizeof(command));
        begin_ready(machine);
        spi_frame(&driver, false, REG_FIFO, command, sizeof(command));
        set_reg(machine, REG_STS, STS_GO);
    }
    set_reg(machine, REG_STS, STS_RETRY);
}

static const Case registers_case = { begin_anyhow, end_with_registers };
static const Case command_case = { begin_ready, end_with_command };
static const Case response_case = { begin_with_response, end_with_registers };

static void test_no_cut_of_a_small_frame_changes_anything(void **state)
{
    TISMachine *machine = ((Pair *)*state)->spi;
    Frame frame;

    frame_init(&frame, true, REG_DID_VID - 3, 8);
    assert_all_cuts(machine, &registers_case, &frame);
    frame_init(&frame, true, REG_STS, 7);
    assert_all_cuts(machine, &response_case, &frame);
    frame_init(&frame, true, REG_FIFO, 8);
    assert_all_cuts(machine, &response_case, &frame);
    frame_init(&frame, false, REG_INT_ENABLE, 5);
    memset(frame.out + HEADER, 0x97, 5);
    assert_all_cuts(machine, &registers_case, &frame);
    frame_init(&frame, false, REG_FIFO, 8);
    memcpy(frame.out + HEADER, "\x80\x01\0\0\0\x08", 6);
    assert_all_cuts(machine, &command_case, &frame);
}

static void assert_sizes(TISMachine *machine, const Case *test, bool is_read, uint32_t address)
{
    fake_backend_respond_with_size(machine->tpm, 150);
    for (size_t size = 1; size <= SPI_FRAME_MAX; size += size < 16 ? 1 : 3) {
        Frame frame;

        frame_init(&frame, is_read, address, size);
        memcpy(frame.out + HEADER, command_2_0, MIN(size, 2));
        if (size > 5) {
            frame.out[HEADER + 5] = (uint8_t)size;
        }
        assert_single_and_regular_cuts(machine, test, &frame);
    }
}

static void test_no_single_or_regular_cut_of_any_frame_changes_anything(void **state)
{
    TISMachine *machine = ((Pair *)*state)->spi;

    assert_sizes(machine, &registers_case, true, REG_ACCESS + 1);
    assert_sizes(machine, &registers_case, true, 0x0FE1);
    assert_sizes(machine, &registers_case, true, 0x5000);
    assert_sizes(machine, &response_case, true, REG_XDATA);
    assert_sizes(machine, &registers_case, false, REG_INT_ENABLE + 1);
    assert_sizes(machine, &command_case, false, REG_FIFO);
}

/* The waits are part of what a cut must not change; they shift the data. */
static void test_no_cut_changes_anything_with_wait_states(void **state)
{
    TISMachine *machine = new_machine(TPM_INTERFACE_TIS_SPI, 3);
    Frame frame;

    (void)state;
    frame_init(&frame, true, REG_DID_VID, 4);
    frame.size += 1;
    assert_all_cuts(machine, &registers_case, &frame);
    frame_init(&frame, true, REG_FIFO, 4);
    frame.size += 3;
    assert_all_cuts(machine, &response_case, &frame);
    assert_memory_equal(frame.in + 3, "\x00\x00\x00\x01\x80\x01\x00\x00", 8);
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_offset_and_size_reads_as_memory_does),
        TEST(test_every_offset_and_size_reads_as_memory_does_with_a_response),
        TEST(test_every_offset_and_size_writes_as_memory_does),
        TEST(test_no_cut_of_a_small_frame_changes_anything),
        TEST(test_no_single_or_regular_cut_of_any_frame_changes_anything),
        cmocka_unit_test(test_no_cut_changes_anything_with_wait_states),
    };

    return cmocka_run_group_tests_name("tis-spi-frames", tests, NULL, NULL);
}
