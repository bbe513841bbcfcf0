/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the moving guests of moving-guest.h do: each kind of device is brought into every state it
 * has, and looked at in each.
 *
 * The commands are such that a real TPM carries them out, and answers them with what follows from
 * what was before: PCR 16 is extended and read.
 */
#include "moving-guest.h"

#include <string.h>

/* ---- commands ---- */

typedef struct Bytes {
    const uint8_t *data;
    size_t size;
} Bytes;

#define BE32(v) (uint8_t)((v) >> 24), (uint8_t)((v) >> 16), (uint8_t)((v) >> 8), (uint8_t)(v)
#define TEN(b)  b, b, b, b, b, b, b, b, b, b

static const uint8_t startup_2_0[] = { 0x80, 0x01, BE32(12), BE32(0x144), 0, 0 };
static const uint8_t extend_2_0[] = {
    0x80, 0x02, BE32(65), BE32(0x182), BE32(16), BE32(9),   BE32(0x40000009), 0,         0,    0,
    0,    0,    BE32(1),  0,           0x0B,     TEN(0x11), TEN(0x22),        TEN(0x33), 0x44, 0x44
};
static const uint8_t read_2_0[] = {
    0x80, 0x01, BE32(20), BE32(0x17E), BE32(1), 0, 0x0B, 3, 0, 0, 1
};
static const uint8_t startup_1_2[] = { 0, 0xC1, BE32(12), BE32(0x99), 0, 1 };
static const uint8_t extend_1_2[] = {
    0, 0xC1, BE32(34), BE32(0x14), BE32(16), TEN(0x11), TEN(0x22)
};
static const uint8_t read_1_2[] = { 0, 0xC1, BE32(14), BE32(0x15), BE32(16) };

static const uint8_t read_17_2_0[] = { 0x80, 0x01, BE32(20), BE32(0x17E), BE32(1), 0,
                                       0x0B, 3,    0,        0,           2 };
static const uint8_t read_17_1_2[] = { 0, 0xC1, BE32(14), BE32(0x15), BE32(17) };

enum { STARTUP, EXTEND, PCR_READ, PCR_READ_17 };

static Bytes command(TPMVersion version, unsigned which)
{
    static const Bytes commands[][2] = {
        { { startup_1_2, sizeof(startup_1_2) }, { startup_2_0, sizeof(startup_2_0) } },
        { { extend_1_2, sizeof(extend_1_2) }, { extend_2_0, sizeof(extend_2_0) } },
        { { read_1_2, sizeof(read_1_2) }, { read_2_0, sizeof(read_2_0) } },
        { { read_17_1_2, sizeof(read_17_1_2) }, { read_17_2_0, sizeof(read_17_2_0) } },
    };

    return commands[which][version == TPM_VERSION_2_0];
}

/* ---- steps ---- */

static void step(Script *s, StepKind kind, unsigned width, uint64_t at, uint64_t value)
{
    Step step = { kind, width, at, value };

    g_array_append_val(s, step);
}

static void rd(Script *s, uint64_t at, unsigned width)
{
    step(s, STEP_READ, width, at, 0);
}

static void wr(Script *s, uint64_t at, unsigned width, uint64_t value)
{
    step(s, STEP_WRITE, width, at, value);
}

static void answer(Script *s)
{
    step(s, STEP_ANSWER, 0, 0, 0);
}

static void reset(Script *s)
{
    step(s, STEP_RESET, 0, 0, 0);
    answer(s);
}

static void use_ppi(Script *s, const Subject *subject)
{
    if (subject->ppi) {
        step(s, STEP_PUT, MEMORY_PPI, 0x109, 5);
        step(s, STEP_PUT, MEMORY_PPI, 0x15A, 1); /* clear memory at the next reset */
        step(s, STEP_GET, MEMORY_PPI, 0x109, 0);
    }
}

/* ---- TIS, in memory ---- */

#define LOC(l)     ((uint64_t)(l) << 12)
#define ACCESS     0x00u
#define INT_ENABLE 0x08u
#define INT_STATUS 0x10u
#define STS        0x18u
#define FIFO       0x24u

static void tis_look(Script *s)
{
    for (unsigned l = 0; l < 5; l++) {
        rd(s, LOC(l) + ACCESS, 1);
    }
    rd(s, LOC(0) + STS, 4);
    rd(s, LOC(1) + STS, 4);
    rd(s, LOC(2) + INT_STATUS, 4);
}

static void tis_write_command(Script *s, unsigned l, Bytes bytes, size_t size)
{
    wr(s, LOC(l) + STS, 4, 0x40);
    rd(s, LOC(l) + STS, 4);
    for (size_t i = 0; i < size; i++) {
        wr(s, LOC(l) + FIFO, 1, bytes.data[i]);
        if (i % 8 == 0) {
            rd(s, LOC(l) + STS, 4);
        }
    }
}

static void tis_go(Script *s, unsigned l)
{
    wr(s, LOC(l) + STS, 4, 0x20);
    answer(s);
    rd(s, LOC(l) + STS, 4);
    rd(s, LOC(l) + INT_STATUS, 4);
}

static void tis_read_response(Script *s, unsigned l, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        rd(s, LOC(l) + FIFO, 1);
        if (i % 8 == 7) {
            rd(s, LOC(l) + STS, 4);
        }
    }
    rd(s, LOC(l) + STS, 4);
}

static void tis_command(Script *s, unsigned l, Bytes bytes)
{
    tis_write_command(s, l, bytes, bytes.size);
    tis_go(s, l);
    tis_read_response(s, l, 60);
}

/* Who loses the device while a command is half written, or runs, or its response is half read. */
static void tis_localities(Script *s, TPMVersion version, bool real)
{
    Bytes read = command(version, PCR_READ);

    tis_write_command(s, 0, read, 7);
    wr(s, LOC(1) + ACCESS, 1, 0x02); /* waits */
    tis_look(s);
    wr(s, LOC(2) + ACCESS, 1, 0x08); /* seizes */
    tis_look(s);
    tis_write_command(s, 2, read, read.size);
    wr(s, LOC(2) + STS, 4, 0x20);
    if (!real) {
        wr(s, LOC(3) + ACCESS, 1, 0x08); /* gets it when the command has ended */
        answer(s);
        tis_look(s);
        wr(s, LOC(3) + STS, 4, 0x02000000); /* resetEstablishment */
        rd(s, LOC(3) + ACCESS, 1);
        wr(s, LOC(3) + ACCESS, 1, 0x20);
    } else {
        answer(s);
        tis_read_response(s, 2, 5);
        wr(s, LOC(2) + ACCESS, 1, 0x20);
    }
    tis_look(s); /* locality 1 has it now */
    wr(s, LOC(0) + ACCESS, 1, 0x10);
    tis_write_command(s, 1, read, read.size);
    tis_go(s, 1);
    tis_read_response(s, 1, 9);
    wr(s, LOC(1) + ACCESS, 1, 0x20); /* gives it up, its response half read */
    tis_look(s);
    wr(s, LOC(1) + ACCESS, 1, 0x02);
    tis_read_response(s, 1, 9);
    wr(s, LOC(1) + STS, 4, 0x02); /* from its beginning */
    tis_read_response(s, 1, 60);
    wr(s, LOC(1) + ACCESS, 1, 0x20);
}

/* The processor measures; the guest sees it at the locality that lost the device. */
static void tis_drtm(Script *s, TPMVersion version)
{
    wr(s, LOC(0) + ACCESS, 1, 0x02);
    wr(s, LOC(4) + 0x28, 1, 0);
    answer(s);
    for (unsigned i = 0; i < 9; i++) {
        wr(s, LOC(4) + FIFO, 4, 0x01020304u * i);
        rd(s, LOC(4) + STS, 4);
    }
    wr(s, LOC(0) + ACCESS, 1, 0x02); /* waits */
    wr(s, LOC(4) + 0x20, 1, 0);
    answer(s);
    tis_look(s);
    tis_command(s, 0, command(version, PCR_READ_17));
    wr(s, LOC(0) + ACCESS, 1, 0x30);
}

static void tis_script(Script *s, const Subject *subject, bool real)
{
    TPMVersion version = subject->version;

    tis_look(s);
    wr(s, LOC(0) + ACCESS, 1, 0x02);
    wr(s, LOC(0) + INT_ENABLE, 4, 0x80000087u);
    wr(s, LOC(0) + 0x30, 4, 1u << 19);
    rd(s, LOC(0) + 0x30, 4);
    tis_command(s, 0, command(version, STARTUP)); /* behind the TPM's start */
    wr(s, LOC(0) + INT_STATUS, 4, 0x80000087u);
    rd(s, LOC(0) + INT_STATUS, 4);
    use_ppi(s, subject);
    tis_command(s, 0, command(version, EXTEND));
    tis_localities(s, version, real);
    if (subject->drtm) {
        tis_drtm(s, version);
    }
    reset(s);
    tis_look(s);
    rd(s, LOC(0) + 0x30, 4);
    wr(s, LOC(0) + ACCESS, 1, 0x02);
    tis_command(s, 0, command(version, STARTUP));
    tis_command(s, 0, command(version, PCR_READ));
}

/* ---- TIS on I2C ---- */

static void i2c_event(Script *s, TPMI2CEvent event)
{
    step(s, STEP_I2C, 0, 0, event);
}

static void i2c_write(Script *s, uint8_t number, const uint8_t *bytes, size_t size)
{
    i2c_event(s, TPM_I2C_START_SEND);
    step(s, STEP_SEND, 0, 0, number);
    for (size_t i = 0; i < size; i++) {
        step(s, STEP_SEND, 0, 0, bytes[i]);
    }
    i2c_event(s, TPM_I2C_STOP);
}

static void i2c_read(Script *s, uint8_t number, size_t size)
{
    i2c_event(s, TPM_I2C_START_SEND);
    step(s, STEP_SEND, 0, 0, number);
    i2c_event(s, TPM_I2C_STOP);
    i2c_event(s, TPM_I2C_START_RECEIVE);
    for (size_t i = 0; i < size; i++) {
        step(s, STEP_RECEIVE, 0, 0, 0);
    }
    i2c_event(s, TPM_I2C_NACK);
    i2c_event(s, TPM_I2C_STOP);
}

static void i2c_command(Script *s, Bytes bytes)
{
    i2c_write(s, 0x18, (const uint8_t[]){ 0x40 }, 1);
    i2c_write(s, 0x24, bytes.data, bytes.size);
    i2c_read(s, 0x18, 4);
    i2c_read(s, 0x44, 2); /* the checksum */
    i2c_write(s, 0x18, (const uint8_t[]){ 0x20 }, 1);
    answer(s);
    i2c_read(s, 0x18, 4);
    i2c_read(s, 0x24, 11);
    i2c_read(s, 0x44, 2);
    i2c_read(s, 0x24, 50);
    i2c_read(s, 0x18, 4);
}

static void i2c_script(Script *s, const Subject *subject)
{
    i2c_write(s, 0x00, (const uint8_t[]){ 1 }, 1); /* TPM_LOC_SEL */
    i2c_read(s, 0x00, 1);
    i2c_write(s, 0x04, (const uint8_t[]){ 0x02 }, 1);
    i2c_read(s, 0x04, 1);
    i2c_write(s, 0x40, (const uint8_t[]){ 1 }, 1);
    i2c_write(s, 0x08, (const uint8_t[]){ 1, 2, 3, 4 }, 4);
    i2c_read(s, 0x08, 4);
    i2c_command(s, command(subject->version, STARTUP));
    i2c_command(s, command(subject->version, EXTEND));
    i2c_read(s, 0x40, 1);
    i2c_write(s, 0x99, NULL, 0); /* there is no such register */
    i2c_command(s, command(subject->version, PCR_READ));
    i2c_event(s, TPM_I2C_START_SEND);
    step(s, STEP_SEND, 0, 0, 0x18);
    step(s, STEP_SEND, 0, 0, 0x40);
    reset(s); /* in the middle of it */
    step(s, STEP_SEND, 0, 0, 0x40);
    i2c_event(s, TPM_I2C_STOP);
    i2c_read(s, 0x04, 1);
}

/* ---- TIS on SPI ---- */

static void spi_frame(Script *s, bool is_read, uint32_t at, const uint8_t *bytes, size_t size,
                      unsigned waits)
{
    step(s, STEP_SELECT, 0, 0, true);
    step(s, STEP_SPI, 0, 0, (is_read ? 0x80 : 0) | (size - 1));
    step(s, STEP_SPI, 0, 0, 0xD4);
    step(s, STEP_SPI, 0, 0, at >> 8);
    step(s, STEP_SPI, 0, 0, at & 0xFF);
    for (unsigned i = 0; i < waits; i++) {
        step(s, STEP_SPI, 0, 0, 0);
    }
    for (size_t i = 0; i < size; i++) {
        step(s, STEP_SPI, 0, 0, is_read ? 0 : bytes[i]);
    }
    step(s, STEP_SELECT, 0, 0, false);
}

static void spi_command(Script *s, const Subject *subject, Bytes bytes)
{
    unsigned waits = subject->wait_states, wait = MIN(waits, 1);

    spi_frame(s, false, STS, (const uint8_t[]){ 0x40 }, 1, wait);
    for (size_t i = 0; i < bytes.size; i += 16) {
        spi_frame(s, false, FIFO, bytes.data + i, MIN(16, bytes.size - i), waits);
    }
    spi_frame(s, true, STS, NULL, 4, wait);
    spi_frame(s, false, STS, (const uint8_t[]){ 0x20 }, 1, wait);
    answer(s);
    spi_frame(s, true, STS, NULL, 4, wait);
    spi_frame(s, true, FIFO, NULL, 7, waits);
    spi_frame(s, true, FIFO, NULL, 50, waits);
    spi_frame(s, true, STS, NULL, 4, wait);
}

static void spi_script(Script *s, const Subject *subject)
{
    unsigned wait = MIN(subject->wait_states, 1);

    spi_frame(s, false, ACCESS, (const uint8_t[]){ 0x02 }, 1, wait);
    spi_frame(s, true, ACCESS, NULL, 1, wait);
    spi_frame(s, false, INT_ENABLE, (const uint8_t[]){ 0x87, 0, 0, 0x80 }, 4, wait);
    spi_frame(s, true, 0x06, NULL, 12, wait); /* across registers */
    spi_command(s, subject, command(subject->version, STARTUP));
    spi_command(s, subject, command(subject->version, EXTEND));
    spi_frame(s, true, 0x9000, NULL, 3, 0); /* there is no such locality */
    spi_frame(s, true, 0x0FFE, NULL, 6, wait);
    spi_command(s, subject, command(subject->version, PCR_READ));
    step(s, STEP_SELECT, 0, 0, true);
    step(s, STEP_SPI, 0, 0, 0x83);
    step(s, STEP_SPI, 0, 0, 0xD4);
    reset(s); /* in the middle of it */
    step(s, STEP_SPI, 0, 0, 0);
    step(s, STEP_SELECT, 0, 0, false);
    spi_frame(s, true, ACCESS, NULL, 1, wait);
}

/* ---- CRB ---- */

#define LOC_STATE  0x00u
#define LOC_CTRL   0x08u
#define LOC_STS    0x0Cu
#define CTRL_REQ   0x40u
#define CTRL_STS   0x44u
#define START      0x4Cu
#define CRB_ENABLE 0x50u
#define CRB_STS    0x54u
#define BUFFER     0x80u

static void crb_look(Script *s, const Subject *subject)
{
    rd(s, LOC_STATE, 4);
    for (unsigned l = 0; l < (subject->localities ? 5 : 1); l++) {
        rd(s, LOC(l) + LOC_STS, 4);
        rd(s, LOC(l) + CTRL_STS, 4);
        rd(s, LOC(l) + START, 4);
        rd(s, LOC(l) + CRB_STS, 4);
    }
}

static void crb_write_buffer(Script *s, const Subject *subject, unsigned l, Bytes bytes,
                             size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (subject->page) {
            step(s, STEP_PUT, MEMORY_PAGE, i, bytes.data[i]);
        } else {
            wr(s, LOC(l) + BUFFER + i, 1, bytes.data[i]);
        }
    }
}

static void crb_read_buffer(Script *s, const Subject *subject, unsigned l, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        if (subject->page) {
            step(s, STEP_GET, MEMORY_PAGE, i, 0);
        } else {
            rd(s, LOC(l) + BUFFER + i, 1);
        }
    }
    rd(s, LOC(l) + BUFFER + 3000, 4);
}

static void crb_command(Script *s, const Subject *subject, unsigned l, Bytes bytes)
{
    wr(s, LOC(l) + CTRL_REQ, 4, 1);
    rd(s, LOC(l) + CTRL_STS, 4);
    crb_write_buffer(s, subject, l, bytes, bytes.size);
    wr(s, LOC(l) + START, 4, 1);
    answer(s);
    rd(s, LOC(l) + START, 4);
    crb_look(s, subject);
    crb_read_buffer(s, subject, l, 60);
    wr(s, LOC(l) + CTRL_REQ, 4, 2);
}

static void crb_localities(Script *s, const Subject *subject, bool real)
{
    Bytes read = command(subject->version, PCR_READ);

    wr(s, LOC(1) + LOC_CTRL, 4, 1); /* waits */
    crb_write_buffer(s, subject, 0, read, 9);
    crb_look(s, subject);
    wr(s, LOC(2) + LOC_CTRL, 4, 4); /* seizes */
    crb_look(s, subject);
    crb_write_buffer(s, subject, 2, read, read.size);
    wr(s, LOC(2) + START, 4, 1);
    if (!real) {
        wr(s, LOC(3) + LOC_CTRL, 4, 4); /* gets it when the command has ended */
        answer(s);
        crb_look(s, subject);
        wr(s, LOC(3) + LOC_CTRL, 4, 8); /* resetEstablishment */
        wr(s, LOC(3) + LOC_CTRL, 4, 2);
    } else {
        answer(s);
        wr(s, LOC(2) + LOC_CTRL, 4, 2);
    }
    crb_look(s, subject); /* locality 1 has it now */
    crb_command(s, subject, 1, read);
    wr(s, LOC(1) + LOC_CTRL, 4, 2);
    wr(s, LOC(0) + LOC_CTRL, 4, 1);
}

/* A command in two pieces, of which the second is nothing; its response in one, and once more. */
static void crb_chunks(Script *s, const Subject *subject)
{
    static const uint8_t head[] = { 0x80, 0x01, BE32(3980), BE32(0x17E), BE32(1), 0, 0x0B };
    Bytes bytes = { head, sizeof(head) };

    wr(s, CTRL_REQ, 4, 1);
    crb_write_buffer(s, subject, 0, bytes, bytes.size);
    wr(s, START, 4, 4); /* nextChunk */
    crb_look(s, subject);
    crb_write_buffer(s, subject, 0, bytes, 12);
    wr(s, START, 4, 1);
    answer(s);
    crb_read_buffer(s, subject, 0, 12);
    wr(s, START, 4, 2); /* crbRspRetry */
    crb_read_buffer(s, subject, 0, 12);
    wr(s, START, 4, 4);
    crb_read_buffer(s, subject, 0, 12);
}

static void crb_script(Script *s, const Subject *subject, bool real)
{
    crb_look(s, subject);
    wr(s, LOC_CTRL, 4, 1);
    wr(s, CRB_ENABLE, 4, 0x8000000Fu);
    rd(s, CRB_ENABLE, 4);
    crb_command(s, subject, 0, command(subject->version, STARTUP));
    wr(s, CRB_STS, 4, 1);
    use_ppi(s, subject);
    crb_command(s, subject, 0, command(subject->version, EXTEND));
    if (subject->localities) {
        crb_localities(s, subject, real);
    }
    if (subject->chunk) {
        crb_chunks(s, subject);
    }
    reset(s);
    crb_look(s, subject);
    wr(s, LOC_CTRL, 4, 1);
    crb_command(s, subject, 0, command(subject->version, STARTUP));
    crb_command(s, subject, 0, command(subject->version, PCR_READ));
}

/* ---- SPAPR ---- */

static void crq(Script *s, uint64_t message)
{
    step(s, STEP_CRQ, 0, 0, message);
}

static void spapr_command(Script *s, Bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        step(s, STEP_PUT, MEMORY_DMA, 0x100 + i, bytes.data[i]);
    }
    crq(s, 0x8002000000000000u | (uint64_t)bytes.size << 32 | (MOVING_MEMORY + 0x100));
    answer(s);
    for (unsigned i = 0; i < 60; i++) {
        step(s, STEP_GET, MEMORY_DMA, 0x100 + i, 0);
    }
}

static void spapr_script(Script *s, const Subject *subject)
{
    crq(s, 0xC001000000000000u);
    crq(s, 0x8001000000000000u); /* version */
    crq(s, 0x8003000000000000u); /* size of the buffer */
    spapr_command(s, command(subject->version, STARTUP));
    spapr_command(s, command(subject->version, EXTEND));
    step(s, STEP_QUEUE, 0, 0, true);
    crq(s, 0x8001000000000000u); /* its answer waits */
    spapr_command(s, command(subject->version, PCR_READ));
    crq(s, 0x8004000000000000u);
    step(s, STEP_QUEUE, 0, 0, false);
    crq(s, 0x8002000000000000u | UINT64_C(20) << 32 | 0x20); /* no memory there */
    reset(s);
    spapr_command(s, command(subject->version, STARTUP));
    spapr_command(s, command(subject->version, PCR_READ));
}

/* ---- all of them ---- */

#define V12 TPM_VERSION_1_2
#define V20 TPM_VERSION_2_0

const Subject subjects[] = {
    { .name = "tis-1.2", .interface = TPM_INTERFACE_TIS, .version = V12, .ppi = true },
    { .name = "tis-2.0", .interface = TPM_INTERFACE_TIS, .version = V20, .ppi = true },
    { .name = "tis-drtm-1.2", .interface = TPM_INTERFACE_TIS, .version = V12, .drtm = true },
    { .name = "tis-drtm-2.0", .interface = TPM_INTERFACE_TIS, .version = V20, .drtm = true },
    { .name = "tis-device-1.2", .interface = TPM_INTERFACE_TIS_SYSBUS, .version = V12 },
    { .name = "tis-device-2.0", .interface = TPM_INTERFACE_TIS_SYSBUS, .version = V20 },
    { .name = "tis-i2c-2.0", .interface = TPM_INTERFACE_TIS_I2C, .version = V20 },
    { .name = "tis-spi-1.2", .interface = TPM_INTERFACE_TIS_SPI, .version = V12 },
    { .name = "tis-spi-2.0", .interface = TPM_INTERFACE_TIS_SPI, .version = V20, .wait_states = 2 },
    { .name = "crb-2.0", .interface = TPM_INTERFACE_CRB, .version = V20, .ppi = true },
    { .name = "crb-localities-2.0",
      .interface = TPM_INTERFACE_CRB,
      .version = V20,
      .localities = true,
      .interrupts = true },
    { .name = "crb-page-2.0",
      .interface = TPM_INTERFACE_CRB,
      .version = V20,
      .interrupts = true,
      .page = true },
    { .name = "crb-chunk-2.0", .interface = TPM_INTERFACE_CRB, .version = V20, .chunk = true },
    { .name = "spapr-1.2", .interface = TPM_INTERFACE_SPAPR, .version = V12 },
    { .name = "spapr-2.0", .interface = TPM_INTERFACE_SPAPR, .version = V20 },
};

const size_t subject_count = G_N_ELEMENTS(subjects);

Script *script_new(const Subject *subject, bool real)
{
    Script *s = g_array_new(FALSE, FALSE, sizeof(Step));

    switch (subject->interface) {
    case TPM_INTERFACE_TIS:
    case TPM_INTERFACE_TIS_SYSBUS:
        tis_script(s, subject, real);
        break;
    case TPM_INTERFACE_TIS_I2C:
        i2c_script(s, subject);
        break;
    case TPM_INTERFACE_TIS_SPI:
        spi_script(s, subject);
        break;
    case TPM_INTERFACE_CRB:
        crb_script(s, subject, real);
        break;
    case TPM_INTERFACE_SPAPR:
        spapr_script(s, subject);
        break;
    }
    return s;
}
