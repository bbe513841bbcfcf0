/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TIS device with drtm=on before a real TPM, of libtpms or of swtpm: its guest, and the processor
 * that writes at locality 4.
 *
 * Everything here fails the test when it does not go as said, and waits no longer than
 * REAL_DEADLINE_S.
 */
#ifndef REAL_TPM_H
#define REAL_TPM_H

#include <tpmdev/tpmdev.h>

#define REAL_DEADLINE_S 30

typedef enum RealKind { REAL_LIBTPMS, REAL_SWTPM } RealKind;

typedef struct RealTPM {
    RealKind kind;
    TPMVersion version;
    char *directory;
    char *path; /* of swtpm's control socket */
    GPid pid;   /* swtpm; 0: not running */
    TPMBackend *backend;
    TPMDevice *device;
    gint guest_errors; /* atomic, and so the next */
    gint backend_errors;
} RealTPM;

/* Is there a swtpm to run? */
bool real_swtpm_is_installed(void);

/* With the TPM started, but not by TPM2_Startup. */
RealTPM *real_tpm_new(RealKind kind, TPMVersion version);
void real_tpm_free(RealTPM *tpm);

/* A directory, with the files in it. */
void real_remove_directory(const char *path);

/* The same device without its guest; and the wait for its TPM. */
void real_tpm_plug(RealTPM *tpm);
void real_tpm_unplug(RealTPM *tpm);
void real_wait_ready(RealTPM *tpm);

/* swtpm alone. */
void real_swtpm_launch(RealTPM *tpm);
void real_swtpm_kill(RealTPM *tpm);
void real_swtpm_stop(RealTPM *tpm);
void real_swtpm_continue(RealTPM *tpm);

/* ---- registers ---- */

uint32_t real_read(RealTPM *tpm, unsigned locality, uint32_t reg, unsigned width);
void real_write(RealTPM *tpm, unsigned locality, uint32_t reg, unsigned width, uint32_t value);

/* ---- the guest ---- */

/* A command from begin to end at a locality that is free; returns the response's code. */
uint32_t real_command(RealTPM *tpm, unsigned locality, const void *command, size_t size);

/* The same up to tpmGo. */
void real_command_begin(RealTPM *tpm, unsigned locality, const void *command, size_t size);

uint32_t real_startup(RealTPM *tpm);

/* The digests a TPM of this version has PCRs of; how many there are. */
unsigned real_banks(const RealTPM *tpm, const GChecksumType **banks);

/* A PCR of the bank; returns its size in bytes. */
size_t real_pcr(RealTPM *tpm, GChecksumType bank, unsigned pcr, uint8_t value[64]);

/* TPM2_PCR_Reset or TPM_PCR_Reset; returns the code. */
uint32_t real_pcr_reset(RealTPM *tpm, unsigned locality, unsigned pcr);

/* ---- the processor ---- */

void real_hash_start(RealTPM *tpm);
void real_hash_end(RealTPM *tpm);

/* Data, in pieces of 1, 2, 4 and 8 bytes, no more than the burst count allows at a time. */
void real_hash_data(RealTPM *tpm, const uint8_t *data, size_t size);

/* Until the sequence is over; false when it was not measured. */
bool real_hash_wait(RealTPM *tpm);

/* All of it. */
bool real_measure(RealTPM *tpm, const uint8_t *data, size_t size);

/* ---- what must come of it, worked out here ---- */

/* The PCR whose first byte to last but one are zero and whose last is `last`, once extended. */
size_t real_extended(GChecksumType bank, uint8_t last, const uint8_t *data, size_t size,
                     uint8_t value[64]);

/* In every bank: the PCR began with zeros and this last byte, and had the data measured to it. */
void real_assert_measured(RealTPM *tpm, unsigned pcr, uint8_t last, const uint8_t *data,
                          size_t size);

/* In every bank: the PCRs from this one to 22 have this byte throughout. */
void real_assert_all(RealTPM *tpm, unsigned first, uint8_t byte);

/* ---- for cmocka: *state is a RealSubject at first, and then the RealTPM ---- */

typedef struct RealSubject {
    RealKind kind;
    TPMVersion version;
} RealSubject;

int real_setup(void **state);
int real_setup_started(void **state);
int real_teardown(void **state);

/* Data that does not repeat itself within 64 KiB; free it with g_free(). */
uint8_t *real_data(size_t size);

/* clang-format off */
#define ON(subject, function, set_up) \
    { #function "_on_" #subject, function, set_up, real_teardown, (void *)&subject }
#define ON_LIBTPMS(function, set_up) \
    ON(libtpms_2_0, function, set_up), ON(libtpms_1_2, function, set_up)
#define ON_SWTPM(function, set_up) \
    ON(swtpm_2_0, function, set_up), ON(swtpm_1_2, function, set_up)
#define ON_ALL(function, set_up) ON_LIBTPMS(function, set_up), ON_SWTPM(function, set_up)
/* clang-format on */

static const RealSubject libtpms_1_2 = { REAL_LIBTPMS, TPM_VERSION_1_2 };
static const RealSubject libtpms_2_0 = { REAL_LIBTPMS, TPM_VERSION_2_0 };
static const RealSubject swtpm_1_2 = { REAL_SWTPM, TPM_VERSION_1_2 };
static const RealSubject swtpm_2_0 = { REAL_SWTPM, TPM_VERSION_2_0 };

#endif /* REAL_TPM_H */
