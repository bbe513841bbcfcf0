/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The program that runs inside the guest and checks its TPM. One line a check goes to the serial
 * line, as TAP has it: `ok NAME` or `not ok NAME - what is wrong`; run-guest.py reads them there.
 *
 * It uses no TSS: what is tried is the way from a register to the TPM and back, with bytes that
 * can be read in this folder.
 *
 * Arguments: the TPM's version, the device and a mode: `check`, `persist` (before and after a
 * reboot), `dead` and `resume` (the TPM is killed on the way and comes back, without and with its
 * volatile state), `ppi`, `ppi-reject` and `ppi-none` (physical
 * presence), `mor-linux` (the memory overwrite request), `move` (whatever a line from outside says:
 * `begin`, `check`, `spoil`, `load` until another line comes, and any other to end), `bench COUNT`,
 * `show` (for people), `firmware` (what firmware left, for a comparison of two runs). They may be
 * followed by COUNT and the number of the interrupt that ACPI names for the device.
 */
#include "guest-check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct NamedCheck {
    const char *name;
    Check check;
    bool (*applies)(const Guest *guest);
} NamedCheck;

static bool always(const Guest *guest)
{
    (void)guest;
    return true;
}

static bool with_tpm2(const Guest *guest)
{
    return guest->tpm2;
}

static bool on_pseries(const Guest *guest)
{
    return guest->device == GUEST_SPAPR;
}

static bool with_acpi(const Guest *guest)
{
    return guest->device != GUEST_SPAPR;
}

/* EDK2 on Arm looks for a TPM in the device tree, which has no word for CRB. */
static bool without_firmware(const Guest *guest)
{
    return guest->device == GUEST_CRB_ARM;
}

static bool with_firmware(const Guest *guest)
{
    return !without_firmware(guest);
}

/* The firmware's log comes before the program's own extends. */
static const NamedCheck checks[] = {
    { "the kernel found a TPM of the right version", check_version, always },
    { "the kernel binds the device's driver", check_kernel_driver, always },
    { "ACPI describes the device", check_acpi_device, with_acpi },
    { "the device tree describes the device", check_device_tree, on_pseries },
    { "the kernel is interrupted as ACPI has it", check_interrupts, with_acpi },
    { "a command is answered with one interrupt", check_interrupt_of_command, on_pseries },
    { "/dev/tpmrm0 answers", check_resource_manager, with_tpm2 },
    { "sysfs shows the PCRs the TPM tells", check_sysfs_pcrs, always },
    { "the measurement log's replay equals the PCRs", check_measurement_log, with_firmware },
    { "nothing was measured, and there is no log", check_nothing_measured, without_firmware },
    { "GetRandom gives random bytes", check_random, always },
    { "a PCR extends as computed", check_extend, always },
    { "a command of the largest size is answered", check_largest_command, always },
    { "a command of a byte more is refused", check_too_large_command, always },
    { "a large valid command gives the right digest", check_large_valid_command, always },
    { "a large response arrives whole", check_large_response, with_tpm2 },
    { "2048 bytes of NV storage read back", check_nv_of_two_kib, with_tpm2 },
    { "the kernel has no complaint", check_kernel_complaints, always },
};

/* ---- modes ---- */

static bool run_list(Guest *guest, const NamedCheck *list, unsigned count)
{
    bool good = true;

    for (unsigned i = 0; i < count; i++) {
        if (list[i].applies(guest)) {
            good &= guest_report(list[i].name, list[i].check(guest));
        }
    }
    return good;
}

static bool run_checks(Guest *guest)
{
    return run_list(guest, checks, G_N_ELEMENTS(checks));
}

/* Exit status 3 asks /init for a reboot, after which this runs again. */
static int run_persist(Guest *guest)
{
    if (!persistence_has_begun(guest)) {
        bool good =
            guest_report("NV storage is written before the reboot", check_persistence_begin(guest));

        return good ? 3 : 1;
    }
    bool good = guest_report("NV storage is there after the reboot", check_persistence_end(guest));

    return run_checks(guest) && good ? 0 : 1;
}

/* run-guest.py does something when it sees this line, and then sends one back. */
static bool wait_for_outside(void)
{
    char line[16];

    puts("READY");
    return fgets(line, sizeof(line), stdin) != NULL;
}

/* What holds of a TPM that has come back, while the kernel and this program run on. */
static bool run_after_return(Guest *guest, bool resumed)
{
    bool good = guest_report("the TPM is back without a reboot", check_return(guest));

    if (resumed) {
        good &= guest_report("its PCRs are what they were", check_pcrs_kept(guest));
        good &=
            guest_report("an object of the resource manager's is there", check_object_kept(guest));
    } else {
        good &= guest_report("its PCRs say that it was reset", check_pcrs_capped(guest));
    }
    good &= guest_report("NV storage is as it was", check_persistence_end(guest));
    good &= guest_report("/dev/tpmrm0 answers again", check_resource_manager(guest));
    good &= guest_report("a PCR extends as computed again", check_extend(guest));
    good &= guest_report("NV storage can be written again", check_nv_of_two_kib(guest));
    return good;
}

/*
 * The TPM's process is killed after the first READY and started anew after the second, on what it
 * had stored, with or without volatile state. It comes back, and the reboot that follows finds it.
 */
static int run_dead(Guest *guest, bool resumed)
{
    if (persistence_has_begun(guest)) {
        return run_persist(guest);
    }
    bool good =
        guest_report("NV storage is written before the TPM dies", check_persistence_begin(guest));

    good &= guest_report("a key is made", check_object_begin(guest));
    good &= guest_report("PCRs are read", check_pcrs_begin(guest));
    good &= wait_for_outside();
    good &=
        guest_report("a dead TPM answers with the failure of its version", check_dead_tpm(guest));
    good &= wait_for_outside();
    good &= run_after_return(guest, resumed);
    return good ? 3 : 1;
}

/*
 * Physical presence: something of the owner's is stored and "clear" asked for; after the reboot
 * firmware has asked, too, and been answered from outside. `rejected` is how.
 */
static int run_ppi(Guest *guest, bool rejected)
{
    bool good = guest_report("PPI is there, of version 1.3", check_ppi_interface(guest));

    good &= guest_report("PPI has the operations of OVMF", check_ppi_operations(guest));
    if (!ppi_has_answered()) {
        good &= guest_report("no request is pending", check_ppi_nothing_pending(guest));
        good &= guest_report("NV storage is written before the request",
                             check_persistence_begin(guest));
        good &= guest_report("a request to clear the TPM is left for firmware",
                             check_ppi_request(guest));
        return good ? 3 : 1;
    }
    if (rejected) {
        good &= guest_report("the request was rejected", check_ppi_rejected(guest));
        good &= guest_report("the TPM was not cleared", check_persistence_end(guest));
    } else {
        good &= guest_report("the request was carried out", check_ppi_success(guest));
        good &= guest_report("the TPM was cleared", check_persistence_is_gone(guest));
    }
    return run_checks(guest) && good ? 0 : 1;
}

/* The same before a firmware that knows nothing of it. */
static int run_ppi_none(Guest *guest)
{
    bool good = guest_report("PPI is there, of version 1.3", check_ppi_interface(guest));

    good &= guest_report("PPI has no operations and takes no request",
                         check_ppi_without_operations(guest));
    return run_checks(guest) && good ? 0 : 1;
}

/* Two reboots; before the second one it is asked that memory be cleared. */
static int run_mor(Guest *guest)
{
    bool good;

    if (!persistence_has_begun(guest)) {
        good = guest_report("NV storage is written before the reboots",
                            check_persistence_begin(guest));
        good &= guest_report("memory is filled", check_mor_fill(guest));
        return good ? 3 : 1;
    }
    if (mor_memory_is_filled()) {
        good = guest_report("memory is as it was: nothing was asked for",
                            check_mor_memory_kept(guest));
        good &= guest_report("it is asked that memory be cleared", check_mor_request(guest));
        return good ? 3 : 1;
    }
    good = guest_report("memory is cleared: that was asked for", check_mor_memory_cleared(guest));
    good &= guest_report("the request was taken away", check_mor_taken(guest));
    good &= guest_report("NV storage is as it was", check_persistence_end(guest));
    return run_checks(guest) && good ? 0 : 1;
}

/* ---- mode move: what is done when the line from outside says so ---- */

static bool on_pc(const Guest *guest)
{
    return guest->device != GUEST_SPAPR && guest->device != GUEST_CRB_ARM;
}

static bool with_tpm12(const Guest *guest)
{
    return !guest->tpm2;
}

/* The PCRs are noted last: from there on all must stay. */
static const NamedCheck moves_begin[] = {
    { "the PCR to seal to is extended", check_sealed_pcr_extended, always },
    { "a secret is sealed to PCRs, and a session satisfies its policy", check_seal, with_tpm2 },
    { "a key of the resource manager's is made", check_object_begin, with_tpm2 },
    { "a session is begun", check_session_begin, with_tpm12 },
    { "the memory of physical presence is written", check_ppi_mark, on_pc },
    { "the PCRs are noted", check_pcrs_begin, always },
};

static const NamedCheck moves_kept[] = {
    { "its PCRs are what they were", check_pcrs_kept, always },
    { "the secret unseals by the session begun before", check_unseal, with_tpm2 },
    { "a key of the resource manager's is there", check_object_kept, with_tpm2 },
    { "the session begun before is there", check_session_kept, with_tpm12 },
    { "nothing is in NV storage that was not", check_persistence_is_gone, with_tpm2 },
    { "the memory of physical presence is what it was", check_ppi_marked, on_pc },
    { "the measurement log's replay equals the PCRs", check_measurement_log, with_firmware },
    { "the kernel has no complaint", check_kernel_complaints, always },
};

/* What a snapshot that was taken before must undo. */
static const NamedCheck moves_spoil[] = {
    { "the PCR that was sealed to is extended", check_sealed_pcr_extended, always },
    { "the secret does not unseal any more", check_secret_locked, with_tpm2 },
    { "NV storage is written", check_persistence_begin, with_tpm2 },
    { "the session is ended", check_session_flushed, with_tpm12 },
};

static const NamedCheck moves_load[] = {
    { "every command of the load was answered as it should be", check_load, always },
};

#define MOVE(line, list)                                                                           \
    {                                                                                              \
        line, list, G_N_ELEMENTS(list)                                                             \
    }

static const struct {
    const char *line;
    const NamedCheck *checks;
    unsigned count;
} moves[] = {
    MOVE("begin\n", moves_begin),
    MOVE("check\n", moves_kept),
    MOVE("spoil\n", moves_spoil),
    MOVE("load\n", moves_load),
};

/* Until the line is another. */
static bool run_moves(Guest *guest)
{
    bool good = true;
    char line[16];

    puts("READY");
    while (fgets(line, sizeof(line), stdin)) {
        unsigned i = 0;

        while (i < G_N_ELEMENTS(moves) && strcmp(line, moves[i].line) != 0) {
            i++;
        }
        if (i == G_N_ELEMENTS(moves)) {
            break;
        }
        good &= run_list(guest, moves[i].checks, moves[i].count);
        puts("READY");
    }
    return good;
}

static bool run_bench(Guest *guest, unsigned count)
{
    static const char *const names[] = { "GetRandom", "PCR_Read" };
    unsigned banks;
    const Bank *bank = guest_banks(guest, &banks);
    uint8_t bytes[DIGEST_MAX];

    for (unsigned kind = 0; kind < G_N_ELEMENTS(names); kind++) {
        gint64 start = g_get_monotonic_time();
        char *wrong = NULL;

        for (unsigned i = 0; i < count && !wrong; i++) {
            wrong =
                kind == 0 ? guest_random(guest, bytes, 16) : guest_pcr_read(guest, bank, 0, bytes);
        }
        double seconds = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC;

        if (wrong) {
            return guest_report(names[kind], wrong);
        }
        printf("bench %s %u commands %.3f s %.0f per second\n", names[kind], count, seconds,
               count / seconds);
    }
    return true;
}

/* A TPM whose state was kept counts its resets on. */
static char *show_clock(Guest *guest)
{
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_READ_CLOCK);
    char *wrong = guest_run(guest, "ReadClock");

    if (!wrong) {
        tpm_get_bytes(&guest->response, 8 + 4); /* time, and the clock's high half */
        uint32_t clock_ms = tpm_get_u32(&guest->response);
        uint32_t resets = tpm_get_u32(&guest->response);

        printf("clock: %u ms, resets: %u\n", clock_ms, resets);
    }
    return wrong;
}

static bool run_show(Guest *guest)
{
    unsigned banks;
    const Bank *bank = guest_banks(guest, &banks);
    uint8_t bytes[DIGEST_MAX];
    char *wrong = NULL;

    for (unsigned pcr = 0; pcr < 8 && !wrong; pcr++) {
        wrong = guest_pcr_read(guest, bank, pcr, bytes);
        if (!wrong) {
            printf("PCR %u: ", pcr);
            guest_print_hex(bytes, bank_digest_size(bank));
        }
    }
    if (!wrong) {
        wrong = guest_random(guest, bytes, sizeof(bytes));
    }
    if (wrong) {
        return guest_report("the TPM answers", wrong);
    }
    printf("random: ");
    guest_print_hex(bytes, sizeof(bytes));
    if (guest->tpm2) {
        wrong = show_clock(guest);
    }
    return !wrong || guest_report("the TPM tells the time", wrong);
}

static GuestDevice device_of(const char *name)
{
    static const char *const names[] = {
        [GUEST_TIS] = "tpm-tis",           [GUEST_CRB] = "tpm-crb",
        [GUEST_CRB_PAGE] = "tpm-crb-page", [GUEST_CRB_ARM] = "tpm-crb-arm",
        [GUEST_SPAPR] = "tpm-spapr",
    };
    unsigned device = G_N_ELEMENTS(names) - 1;

    while (device > GUEST_TIS && strcmp(names[device], name) != 0) {
        device--;
    }
    return (GuestDevice)device;
}

static bool open_guest(Guest *guest, bool tpm2, GuestDevice device)
{
    guest->tpm2 = tpm2;
    guest->device = device;
    guest->largest =
        device == GUEST_CRB || device == GUEST_CRB_ARM ? CRB_BUFFER_SIZE : TPM_CHAR_MAX;
    guest->fd = tpm_char_open("/dev/tpm0");
    return guest_report("/dev/tpm0 is there",
                        guest->fd < 0 ? g_strdup_printf("open: %s", g_strerror(errno)) : NULL);
}

int main(int argc, char **argv)
{
    static Guest guest;
    const char *mode = argc > 3 ? argv[3] : "";

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 4) {
        fputs(
            "usage: guest-check 1.2|2.0 tpm-tis|tpm-crb|tpm-crb-page|tpm-crb-arm|tpm-spapr "
            "check|persist|dead|resume|ppi|ppi-reject|ppi-none|mor-linux|move|show|firmware|bench|"
            "bulk "
            "[COUNT [IRQ]]\n",
            stderr);
        return 2;
    }
    if (!open_guest(&guest, strcmp(argv[1], "2.0") == 0, device_of(argv[2]))) {
        return 1;
    }
    guest.irq = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 0;
    if (strcmp(mode, "check") == 0) {
        return run_checks(&guest) ? 0 : 1;
    } else if (strcmp(mode, "persist") == 0) {
        return run_persist(&guest);
    } else if (strcmp(mode, "dead") == 0 || strcmp(mode, "resume") == 0) {
        return run_dead(&guest, strcmp(mode, "resume") == 0);
    } else if (strcmp(mode, "ppi") == 0 || strcmp(mode, "ppi-reject") == 0) {
        return run_ppi(&guest, strcmp(mode, "ppi-reject") == 0);
    } else if (strcmp(mode, "ppi-none") == 0) {
        return run_ppi_none(&guest);
    } else if (strcmp(mode, "mor-linux") == 0) {
        return run_mor(&guest);
    } else if (strcmp(mode, "move") == 0) {
        return run_moves(&guest) ? 0 : 1;
    } else if (strcmp(mode, "show") == 0) {
        return run_show(&guest) ? 0 : 1;
    } else if (strcmp(mode, "firmware") == 0) {
        return guest_report("what the firmware left is told", print_firmware(&guest)) ? 0 : 1;
    } else if (strcmp(mode, "bench") == 0 && argc > 4) {
        return run_bench(&guest, (unsigned)strtoul(argv[4], NULL, 10)) ? 0 : 1;
    } else if (strcmp(mode, "bulk") == 0 && argc > 4) {
        unsigned count = (unsigned)strtoul(argv[4], NULL, 10);

        return guest_report("commands of 3 KiB are answered", check_bulk(&guest, count)) ? 0 : 1;
    }
    fprintf(stderr, "guest-check: no mode '%s'\n", mode);
    return 2;
}
