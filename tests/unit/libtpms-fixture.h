/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory, a libtpms backend in it and a client in front of that, and the commands the tests
 * of the backend send.
 */
#ifndef LIBTPMS_FIXTURE_H
#define LIBTPMS_FIXTURE_H

#include "backend-client.h"

typedef struct Fixture {
    char *path;
    TPMBackend *backend;
    BackendClient *client; /* bound, or NULL */
    BackendClient storage;
    GError *error;
} Fixture;

/* For cmocka: an empty directory; and nothing of it, also when the test has failed. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* A path in the directory; free it with g_free(). */
char *file_path(const Fixture *fixture, const char *name);
void empty_directory(Fixture *fixture);

/* Make a TPM in the directory, with error set in the fixture when that is refused. */
TPMBackend *try_new(Fixture *fixture, TPMVersion version);

/* Make one, bound to the client; start it, as at a reset; and all that and TPM2_Startup. */
void make_backend(Fixture *fixture, TPMVersion version);
void start_tpm(Fixture *fixture);
void make_running(Fixture *fixture);

void bind_client(Fixture *fixture);
void unbind_client(Fixture *fixture);
void drop_backend(Fixture *fixture);

/*
 * Keep permanent state from being stored, and no longer: by a directory where the file has to go,
 * to which nothing can be renamed, not even by root.
 */
void block_storage(Fixture *fixture);
void unblock_storage(Fixture *fixture);

/* Is this the message, where DIR stands for the directory's path? */
void assert_message(Fixture *fixture, const char *message, const char *expected);
/* Is this the fixture's error? It is cleared. */
void assert_error(Fixture *fixture, TPMError code, const char *expected);

/* The TPM answers TPM2_GetRandom. */
void assert_random(Fixture *fixture);

/* What PCR 16 is; of a TPM that goes on it is the same. And is it that? */
GBytes *tpm_mark(Fixture *fixture);
void assert_mark(Fixture *fixture, GBytes *wanted);

/* A file in the directory, or NULL; and is there one? */
GBytes *state_file(const Fixture *fixture, const char *name);
bool is_state_file(const Fixture *fixture, const char *name);

/* Have the TPM saved, and one loaded, or fail the test. */
TPMState *save_tpm(Fixture *fixture);
void load_tpm(Fixture *fixture, const TPMState *state);

/* Responses that have come, and waiting until there are so many. */
unsigned count_completed(Fixture *fixture);
void wait_completed(Fixture *fixture, unsigned completed);

/* Send one of the commands below, wait for its response and return the code. */
#define COMMAND(fixture, name) backend_client_command((fixture)->client, name, sizeof(name))

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

/* ---- commands ---- */

#define BYTES(name, ...) static const uint8_t name[] = { __VA_ARGS__ }

#define BE16(v) (uint8_t)((v) >> 8), (uint8_t)(v)
#define BE32(v) (uint8_t)((v) >> 24), (uint8_t)((v) >> 16), BE16(v)

/* An authorization area of 9 bytes: the empty password (TPM 2.0 Part 1, "Password"). */
#define PASSWORD BE32(9u), BE32(0x40000009u), BE16(0), 0, BE16(0)

#define NV_INDEX 0x01800001u

BYTES(startup_clear, BE16(0x8001), BE32(12u), BE32(0x144u), BE16(0));
BYTES(startup_state, BE16(0x8001), BE32(12u), BE32(0x144u), BE16(1));
BYTES(shutdown_clear, BE16(0x8001), BE32(12u), BE32(0x145u), BE16(0));
BYTES(get_random, BE16(0x8001), BE32(12u), BE32(0x17Bu), BE16(16));
BYTES(get_property_startup, BE16(0x8001), BE32(22u), BE32(0x17Au), BE32(6u), BE32(0x201u),
      BE32(1u));
BYTES(get_property_max_command, BE16(0x8001), BE32(22u), BE32(0x17Au), BE32(6u), BE32(0x11Eu),
      BE32(1u));
/* Changes PCR 16 and with it what get_pcr_16 answers. */
#define TEN(b) b, b, b, b, b, b, b, b, b, b
BYTES(extend_16, BE16(0x8002), BE32(65u), BE32(0x182u), BE32(16u), PASSWORD, BE32(1u), BE16(0x0B),
      TEN(1), TEN(2), TEN(3), 4, 4);
BYTES(get_pcr_16, BE16(0x8001), BE32(20u), BE32(0x17Eu), BE32(1u), BE16(0x0B), 3, 0, 0, 1);
BYTES(pcr_reset_20, BE16(0x8002), BE32(27u), BE32(0x13Du), BE32(20u), PASSWORD);

/* Eight bytes, written and read with the owner's empty password or their own. */
BYTES(nv_define, BE16(0x8002), BE32(45u), BE32(0x12Au), BE32(0x40000001u), PASSWORD, BE16(0),
      BE16(14), BE32(NV_INDEX), BE16(0x000B), BE32(0x02060006u), BE16(0), BE16(8));
BYTES(nv_write, BE16(0x8002), BE32(43u), BE32(0x137u), BE32(NV_INDEX), BE32(NV_INDEX), PASSWORD,
      BE16(8), 'l', 'i', 'b', 't', 'p', 'm', 'd', 'v', BE16(0));
BYTES(nv_read, BE16(0x8002), BE32(35u), BE32(0x14Eu), BE32(NV_INDEX), BE32(NV_INDEX), PASSWORD,
      BE16(8), BE16(0));

/* An RSA-3072 signing key, the command that takes longest; four bytes make each another one. */
#define KEY_UNIQUE_AT 57
BYTES(create_key, BE16(0x8002), BE32(67u), BE32(0x131u), BE32(0x40000001u), PASSWORD, BE16(4),
      BE16(0), BE16(0),                                                    /* inSensitive */
      BE16(26), BE16(0x0001), BE16(0x000B), BE32(0x00040072u), BE16(0),    /* RSA, SHA-256 */
      BE16(0x0010), BE16(0x0010), BE16(3072), BE32(0u), BE16(4), BE32(0u), /* no scheme */
      BE16(0), BE32(0u));
#define FLUSH_HANDLE_AT 10
BYTES(flush, BE16(0x8001), BE32(14u), BE32(0x165u), BE32(0u));

BYTES(startup_state_1_2, BE16(0x00C1), BE32(12u), BE32(0x99u), BE16(2));
BYTES(save_state_1_2, BE16(0x00C1), BE32(10u), BE32(0x98u));
BYTES(startup_1_2, BE16(0x00C1), BE32(12u), BE32(0x99u), BE16(1));
BYTES(get_random_1_2, BE16(0x00C1), BE32(14u), BE32(0x46u), BE32(16u));

/* Eight bytes again; a TPM 1.2 nobody owns asks for no authorization. */
#define NV_INDEX_1_2    0x00011101u
#define NO_PCR_INFO_1_2 BE16(3), 0, 0, 0, 0x1F, ZEROS_20 /* any locality, no PCRs */
#define ZEROS_20        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
BYTES(nv_define_1_2, BE16(0x00C1), BE32(101u), BE32(0xCCu), BE16(0x0018), BE32(NV_INDEX_1_2),
      NO_PCR_INFO_1_2, NO_PCR_INFO_1_2, BE16(0x0017), BE32(2u), 0, 0, 0, BE32(8u), ZEROS_20);
BYTES(nv_write_1_2, BE16(0x00C1), BE32(30u), BE32(0xCDu), BE32(NV_INDEX_1_2), BE32(0u), BE32(8u),
      'l', 'i', 'b', 't', 'p', 'm', 'd', 'v');
BYTES(nv_read_1_2, BE16(0x00C1), BE32(22u), BE32(0xCFu), BE32(NV_INDEX_1_2), BE32(0u), BE32(8u));

#endif /* LIBTPMS_FIXTURE_H */
