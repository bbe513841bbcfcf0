/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes written in hexadecimal; see real-commands.h. */
#include "real-commands.h"

GByteArray *bytes_of_hex(const char *text)
{
    GByteArray *bytes = g_byte_array_new();

    while (*text) {
        if (*text == ' ') {
            text++;
            continue;
        }
        guint8 byte = (guint8)(g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]));
        guint64 times = 1;

        text += 2;
        if (*text == '*') {
            times = g_ascii_strtoull(text + 1, (char **)&text, 10);
        }
        while (times-- > 0) {
            g_byte_array_append(bytes, &byte, 1);
        }
    }
    return bytes;
}
