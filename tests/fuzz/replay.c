/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main() of a fuzz target in an ordinary build: it runs every file of a corpus directory
 * once, so that what a fuzzer found stays found on machines that have none.
 *
 * A target that finds something aborts; the plan line it then owes makes the test fail.
 */
#include "input.h"

#include <glib.h>

static void replay(const char *directory, const char *name, unsigned number)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autofree char *data = NULL;
    gsize size;

    if (!g_file_get_contents(path, &data, &size, NULL)) {
        printf("not ok %u - %s cannot be read\n", number, name);
        return;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)data, size);
    printf("ok %u - %s\n", number, name);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    g_autoptr(GDir) directory = argc == 2 ? g_dir_open(argv[1], 0, NULL) : NULL;
    unsigned number = 0;
    const char *name;

    if (!directory) {
        printf("Bail out! usage: %s CORPUS-DIRECTORY\n", argv[0]);
        return 1;
    }
    while ((name = g_dir_read_name(directory))) {
        replay(argv[1], name, ++number);
    }
    if (number == 0) {
        printf("not ok %u - %s holds no input\n", ++number, argv[1]);
    }
    printf("1..%u\n", number);
    return 0;
}
