/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of guest-check share: how a check reports, and the TPM it checks.
 */
#ifndef GUEST_CHECK_H
#define GUEST_CHECK_H

#include "tpm-char.h"

#define TPM_SYSFS "/sys/class/tpm/tpm0/"

/* TPM 2.0 Part 2: tags, handles, algorithms. */
#define TPM2_NO_SESSIONS 0x8001u
#define TPM2_SESSIONS    0x8002u
#define TPM2_RH_OWNER    0x40000001u
#define TPM2_RH_NULL     0x40000007u
#define TPM2_ALG_SHA1    0x0004u
#define TPM2_ALG_SHA256  0x000Bu
#define TPM2_ALG_NULL    0x0010u

/* TPM 2.0 Part 2, "TPM_CC". */
#define TPM2_NV_UNDEFINE_SPACE 0x122u
#define TPM2_NV_DEFINE_SPACE   0x12Au
#define TPM2_CREATE_PRIMARY    0x131u
#define TPM2_NV_WRITE          0x137u
#define TPM2_NV_READ           0x14Eu
#define TPM2_NV_READ_PUBLIC    0x169u
#define TPM2_READ_PUBLIC       0x173u
#define TPM2_GET_CAPABILITY    0x17Au
#define TPM2_GET_RANDOM        0x17Bu
#define TPM2_HASH              0x17Du
#define TPM2_PCR_READ          0x17Eu
#define TPM2_READ_CLOCK        0x181u
#define TPM2_PCR_EXTEND        0x182u

/* TPM 1.2 Part 2: tags, ordinals. */
#define TPM12_REQUEST       0x00C1u
#define TPM12_EXTEND        0x14u
#define TPM12_PCR_READ      0x15u
#define TPM12_GET_RANDOM    0x46u
#define TPM12_SHA1_START    0xA0u
#define TPM12_SHA1_UPDATE   0xA1u
#define TPM12_SHA1_COMPLETE 0xA2u

/* TPM2B_MAX_BUFFER and MAX_NV_BUFFER_SIZE of libtpms, in bytes. */
#define TPM2_BUFFER_MAX 1024u

/* The largest digest of a bank that is looked at. */
#define DIGEST_MAX 32u

/* The banks and PCRs there are at most. */
#define BANKS_MAX 2u
#define PCRS      24u

typedef uint8_t PcrValues[BANKS_MAX][PCRS][DIGEST_MAX];

/* A PCR that firmware and kernel leave alone. */
#define PCR_DEBUG 16u

/* The PCR of Linux's own measurements (IMA), which the firmware's log does not know. */
#define PCR_IMA 10u

/* Bytes of a CRB device's buffer behind its registers: the rest of the page. */
#define CRB_BUFFER_SIZE 3968u

/* What is in front of the TPM. */
typedef enum GuestDevice {
    GUEST_TIS,
    GUEST_CRB,
    GUEST_CRB_PAGE, /* its buffer on a page of its own */
    GUEST_CRB_ARM,  /* on a machine whose firmware does not know it */
    GUEST_SPAPR,
} GuestDevice;

/* The TPM under test. */
typedef struct Guest {
    int fd;    /* /dev/tpm0 */
    bool tpm2; /* else TPM 1.2 */
    GuestDevice device;
    unsigned irq;       /* the interrupt ACPI names, or 0 */
    unsigned largest;   /* bytes of a command that go through the kernel and the device */
    TPMMessage command; /* too large for a stack of many calls */
    TPMMessage response;
} Guest;

/* A bank of PCRs: how GLib, the TPM and sysfs call its digest. */
typedef struct Bank {
    GChecksumType checksum;
    unsigned algorithm;
    const char *directory; /* in sysfs; NULL for TPM 1.2 */
} Bank;

/* The banks of this TPM that are looked at; *count of them. */
const Bank *guest_banks(const Guest *guest, unsigned *count);

unsigned bank_digest_size(const Bank *bank);

/*
 * Every check returns NULL, or what is wrong, to be freed. `wrong` makes such a text of a command
 * that failed.
 */
typedef char *(*Check)(Guest *guest);

/* Say how a check went, and free what was wrong; false if something was. */
bool guest_report(const char *name, char *wrong);

/* Run the command in guest->command; NULL, or a text that names `what` and how it failed. */
char *guest_run(Guest *guest, const char *what);

/* The value of a PCR as the TPM tells it. */
char *guest_pcr_read(Guest *guest, const Bank *bank, unsigned pcr, uint8_t digest[DIGEST_MAX]);

/* All of them, of every bank that is looked at. */
char *guest_read_pcrs(Guest *guest, PcrValues pcrs);

/* Extend a PCR of one bank. */
char *guest_pcr_extend(Guest *guest, const Bank *bank, unsigned pcr, const uint8_t *digest);

/* A key of the owner's, by its attributes; TPM 2.0. */
#define GUEST_SIGNING_KEY                                                                          \
    0x00040072u                       /* fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, \
                                         sign */
#define GUEST_STORAGE_KEY 0x00030072u /* the first four of these, and restricted, decrypt */
char *guest_create_primary(Guest *guest, uint32_t attributes, uint32_t *handle);

/* `size` random bytes. */
char *guest_random(Guest *guest, uint8_t *bytes, unsigned size);

/* Bytes that do not repeat within a page, so that a shift or a swap shows. */
void guest_fill_pattern(uint8_t *data, unsigned size, unsigned seed);

/* Bytes as hexadecimal digits, and the end of the line. */
void guest_print_hex(const uint8_t *bytes, unsigned size);

/* ---- the checks, in files by what they are about ---- */

/* checks-kernel.c: what Linux says of the TPM */
char *check_version(Guest *guest);
char *check_kernel_driver(Guest *guest);
char *check_acpi_device(Guest *guest);
char *check_interrupts(Guest *guest);
char *check_interrupt_of_command(Guest *guest);
char *check_kernel_complaints(Guest *guest);
char *check_resource_manager(Guest *guest);
char *check_sysfs_pcrs(Guest *guest);

/* checks-firmware.c: what the firmware left in the TPM and told the kernel */
char *check_device_tree(Guest *guest);
char *check_measurement_log(Guest *guest);
char *check_nothing_measured(Guest *guest);
char *print_firmware(Guest *guest);

/* checks-command.c: commands of the program's own */
char *check_random(Guest *guest);
char *check_extend(Guest *guest);
char *check_largest_command(Guest *guest);
char *check_too_large_command(Guest *guest);
char *check_large_valid_command(Guest *guest);
char *check_large_response(Guest *guest);
char *check_bulk(Guest *guest, unsigned count);

/* checks-death.c: a TPM whose process is killed and comes back */
char *check_dead_tpm(Guest *guest);
char *check_return(Guest *guest);
char *check_pcrs_capped(Guest *guest);

/* checks-kept.c: what a TPM is to keep */
char *check_pcrs_begin(Guest *guest);
char *check_pcrs_kept(Guest *guest);
char *check_object_begin(Guest *guest);
char *check_object_kept(Guest *guest);

/* checks-move.c: a machine that is saved, loaded and moved under the guest */
char *check_sealed_pcr_extended(Guest *guest);
char *check_seal(Guest *guest);
char *check_unseal(Guest *guest);
char *check_secret_locked(Guest *guest);
char *check_session_begin(Guest *guest);
char *check_session_kept(Guest *guest);
char *check_session_flushed(Guest *guest);
char *check_ppi_mark(Guest *guest);
char *check_ppi_marked(Guest *guest);
char *check_load(Guest *guest);

/* checks-nv.c: what the TPM keeps */
char *check_nv_of_two_kib(Guest *guest);
char *check_persistence_begin(Guest *guest);
char *check_persistence_end(Guest *guest);
char *check_persistence_is_gone(Guest *guest);
bool persistence_has_begun(Guest *guest);

/* checks-ppi.c: the physical presence interface */
char *check_ppi_interface(Guest *guest);
char *check_ppi_operations(Guest *guest);
char *check_ppi_nothing_pending(Guest *guest);
char *check_ppi_request(Guest *guest);
char *check_ppi_success(Guest *guest);
char *check_ppi_rejected(Guest *guest);
char *check_ppi_without_operations(Guest *guest);
bool ppi_has_answered(void);

/* checks-mor.c: the memory overwrite request */
char *check_mor_fill(Guest *guest);
char *check_mor_memory_kept(Guest *guest);
char *check_mor_memory_cleared(Guest *guest);
char *check_mor_request(Guest *guest);
char *check_mor_taken(Guest *guest);
bool mor_memory_is_filled(void);

#endif /* GUEST_CHECK_H */
