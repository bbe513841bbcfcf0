/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical presence interface as Linux has it: the files of ppi/ in sysfs, each of them an
 * evaluation of the device's _DSM, and the memory behind it, where firmware finds the request.
 *
 * Neighbours: guest-check.c runs these; acpi/ppi-aml.c has the method.
 */
#include "guest-check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PPI "ppi/"

/* Where a PC has the memory, and what is looked at there (hw/tpm/ppi-layout.h). */
#define PPI_ADDRESS   0xFED45000u
#define PPI_PAGE_SIZE 0x1000u
#define PPI_PPIN      0x100u
#define PPI_PPRQ      0x109u
#define PPI_FUNC_SIZE 0x100u

/* What is asked for: TPM 2.0's "clear" (PPI 1.30, table 2). */
#define CLEAR      5u
#define CLEAR_TEXT "5"

/* The operations OVMF has for a TPM 2.0, each with the physical user's consent. */
static const unsigned ovmf_operations[] = { 0, 5, 14, 21, 22, 23, 24, 33, 96, 97 };

#define OVMF_PERMISSION 3u

/* ---- files ---- */

/* The contents without the last newline; to be freed. */
static char *read_file(const char *name)
{
    char *path = g_strdup_printf(TPM_SYSFS PPI "%s", name);
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    g_free(path);
    return text ? g_strchomp(text) : g_strdup("missing");
}

static char *expect_file(const char *name, const char *expected)
{
    char *text = read_file(name);
    char *wrong = strcmp(text, expected) == 0
                      ? NULL
                      : g_strdup_printf("%s is \"%s\", not \"%s\"", name, text, expected);

    g_free(text);
    return wrong;
}

/* 0, or the error the kernel gives. */
static int write_request(const char *text)
{
    int fd = open(TPM_SYSFS PPI "request", O_WRONLY | O_CLOEXEC);
    int error = fd < 0 || write(fd, text, strlen(text)) < 0 ? errno : 0;

    if (fd >= 0) {
        close(fd);
    }
    return error;
}

/* ---- the memory ---- */

/* It is no RAM, and no driver has claimed it, so that /dev/mem shows it. */
static char *read_memory(uint8_t bytes[PPI_PAGE_SIZE])
{
    int fd = open("/dev/mem", O_RDONLY | O_SYNC | O_CLOEXEC);
    const volatile uint8_t *memory =
        fd < 0 ? MAP_FAILED : mmap(NULL, PPI_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, PPI_ADDRESS);
    char *wrong = memory == MAP_FAILED ? g_strdup_printf("/dev/mem: %s", g_strerror(errno)) : NULL;

    for (unsigned i = 0; i < PPI_PAGE_SIZE && !wrong; i++) {
        bytes[i] = memory[i];
    }
    if (!wrong) {
        munmap((void *)memory, PPI_PAGE_SIZE);
    }
    if (fd >= 0) {
        close(fd);
    }
    return wrong;
}

static char *expect_memory(unsigned request, bool set_up)
{
    static uint8_t bytes[PPI_PAGE_SIZE];
    char *wrong = read_memory(bytes);

    if (wrong) {
        return wrong;
    }
    unsigned found = bytes[PPI_PPRQ] | (unsigned)bytes[PPI_PPRQ + 1] << 8 |
                     (unsigned)bytes[PPI_PPRQ + 2] << 16 | (unsigned)bytes[PPI_PPRQ + 3] << 24;

    if (found != request || bytes[PPI_PPIN] != set_up) {
        return g_strdup_printf("the request is %u, and PPIN %u", found, bytes[PPI_PPIN]);
    }
    return NULL;
}

/* ---- checks ---- */

char *check_ppi_interface(Guest *guest)
{
    (void)guest;
    char *wrong = expect_file("version", "1.3");

    return wrong ? wrong : expect_file("transition_action", "2: Reboot");
}

/* What the files list as `number permission: text`, a line each. */
static bool lists(const char *text, unsigned operation, unsigned permission)
{
    char *begin = g_strdup_printf("%u %u: ", operation, permission);
    bool found = g_str_has_prefix(text, begin);

    for (const char *line = text; !found && (line = strchr(line, '\n'));) {
        found = g_str_has_prefix(++line, begin);
    }
    g_free(begin);
    return found;
}

char *check_ppi_operations(Guest *guest)
{
    char *text = read_file("tcg_operations");
    unsigned lines = 1;
    char *wrong = NULL;

    (void)guest;
    for (const char *at = text; (at = strchr(at, '\n')); at++) {
        lines++;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(ovmf_operations) && !wrong; i++) {
        if (!lists(text, ovmf_operations[i], OVMF_PERMISSION)) {
            wrong = g_strdup_printf("operation %u is not in \"%s\"", ovmf_operations[i], text);
        }
    }
    if (!wrong && lines != G_N_ELEMENTS(ovmf_operations)) {
        wrong = g_strdup_printf("there are others in \"%s\"", text);
    }
    g_free(text);
    return wrong ? wrong : expect_file("vs_operations", "");
}

char *check_ppi_nothing_pending(Guest *guest)
{
    (void)guest;
    char *wrong = expect_file("request", "0");

    wrong = wrong ? wrong : expect_file("response", "0: No Recent Request");
    return wrong ? wrong : expect_memory(0, true);
}

char *check_ppi_request(Guest *guest)
{
    int error = write_request(CLEAR_TEXT);

    (void)guest;
    if (error) {
        return g_strdup_printf("writing: %s", g_strerror(error));
    }
    char *wrong = expect_file("request", CLEAR_TEXT);

    return wrong ? wrong : expect_memory(CLEAR, true);
}

/* Firmware has answered, and taken the request away. */
static char *check_ppi_response(const char *response)
{
    char *wrong = expect_file("response", response);

    wrong = wrong ? wrong : expect_file("request", "0");
    return wrong ? wrong : expect_memory(0, true);
}

char *check_ppi_success(Guest *guest)
{
    (void)guest;
    return check_ppi_response(CLEAR_TEXT " 0: Success");
}

char *check_ppi_rejected(Guest *guest)
{
    (void)guest;
    return check_ppi_response(CLEAR_TEXT " 0xFFFFFFF0: User Abort");
}

bool ppi_has_answered(void)
{
    char *text = read_file("response");
    bool answered = g_str_has_prefix(text, CLEAR_TEXT " ");

    g_free(text);
    return answered;
}

/* Firmware without physical presence: nothing is offered, nothing taken, nothing left behind. */
char *check_ppi_without_operations(Guest *guest)
{
    (void)guest;
    char *wrong = expect_file("tcg_operations", "");

    wrong = wrong ? wrong : expect_file("vs_operations", "");
    wrong = wrong ? wrong : expect_file("request", "0");
    wrong = wrong ? wrong : expect_file("response", "0: No Recent Request");
    if (wrong) {
        return wrong;
    }
    int error = write_request(CLEAR_TEXT);

    if (error != EPERM) {
        return g_strdup_printf("a request gives \"%s\", not \"%s\"", g_strerror(error),
                               g_strerror(EPERM));
    }
    wrong = expect_file("request", "0");
    return wrong ? wrong : expect_memory(0, false);
}
