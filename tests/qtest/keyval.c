/* SPDX-License-Identifier: BSD-3-Clause */
/* Parsing of option values; see keyval.h. */
#include "keyval.h"

#include <string.h>

typedef struct Element {
    char *name;
    char *value;
    bool implied; /* the name was left out */
} Element;

struct KeyVal {
    GArray *elements; /* of Element */
};

static void element_clear(gpointer data)
{
    Element *element = data;

    g_free(element->name);
    g_free(element->value);
}

void keyval_free(KeyVal *keyval)
{
    if (keyval) {
        g_array_unref(keyval->elements);
        g_free(keyval);
    }
}

/* Up to the next single comma; *text moves behind it. */
static char *next_part(const char **text)
{
    GString *part = g_string_new(NULL);
    const char *p = *text;

    while (*p && (*p != ',' || p[1] == ',')) {
        g_string_append_c(part, *p);
        p += *p == ',' ? 2 : 1;
    }
    *text = *p ? p + 1 : p;
    return g_string_free(part, FALSE);
}

static void append(KeyVal *keyval, const char *part, const char *implied)
{
    const char *equals = strchr(part, '=');
    Element element = { NULL, NULL, false };

    if (equals) {
        element.name = g_strndup(part, (gsize)(equals - part));
        element.value = g_strdup(equals + 1);
    } else if (implied) {
        element.name = g_strdup(implied);
        element.value = g_strdup(part);
        element.implied = true;
    } else if (g_str_has_prefix(part, "no")) {
        element.name = g_strdup(part + 2);
        element.value = g_strdup("off");
    } else {
        element.name = g_strdup(part);
        element.value = g_strdup("on");
    }
    g_array_append_val(keyval->elements, element);
}

KeyVal *keyval_parse(const char *text, const char *implied, GError **error)
{
    g_autoptr(KeyVal) keyval = g_new0(KeyVal, 1);

    keyval->elements = g_array_new(FALSE, FALSE, sizeof(Element));
    g_array_set_clear_func(keyval->elements, element_clear);
    while (*text) {
        g_autofree char *part = next_part(&text);

        if (!*part || *part == '=') {
            g_set_error(error, MACHINE_ERROR, 0, "empty parameter; write NAME=VALUE%s",
                        implied ? " after the first element" : "");
            return NULL;
        }
        append(keyval, part, implied);
        implied = NULL;
    }
    return g_steal_pointer(&keyval);
}

const char *keyval_get(const KeyVal *keyval, const char *name)
{
    for (guint i = keyval->elements->len; i > 0; i--) {
        const Element *element = &g_array_index(keyval->elements, Element, i - 1);

        if (strcmp(element->name, name) == 0) {
            return element->value;
        }
    }
    return NULL;
}

bool keyval_get_bool(const KeyVal *keyval, const char *name, bool *value, GError **error)
{
    static const char *const yes[] = { "on", "yes", "true", "y", NULL };
    static const char *const no[] = { "off", "no", "false", "n", NULL };
    const char *text = keyval_get(keyval, name);

    if (text && !g_strv_contains(yes, text) && !g_strv_contains(no, text)) {
        g_set_error(error, MACHINE_ERROR, 0, "Parameter '%s' expects 'on' or 'off', not '%s'", name,
                    text);
        return false;
    }
    if (text) {
        *value = g_strv_contains(yes, text);
    }
    return true;
}

bool keyval_check(const KeyVal *keyval, const char *const *known, GError **error)
{
    for (guint i = 0; i < keyval->elements->len; i++) {
        const char *name = g_array_index(keyval->elements, Element, i).name;

        if (!g_strv_contains(known, name)) {
            g_autofree char *list = g_strjoinv(", ", (char **)known);

            g_set_error(error, MACHINE_ERROR, 0, "Invalid parameter '%s'; known are: %s", name,
                        list);
            return false;
        }
    }
    return true;
}

static void append_doubling_commas(GString *text, const char *value)
{
    for (; *value; value++) {
        g_string_append_c(text, *value);
        if (*value == ',') {
            g_string_append_c(text, ',');
        }
    }
}

char *keyval_format(const KeyVal *keyval, const char *const *without)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < keyval->elements->len; i++) {
        const Element *element = &g_array_index(keyval->elements, Element, i);

        if (g_strv_contains(without, element->name)) {
            continue;
        }
        if (text->len) {
            g_string_append_c(text, ',');
        }
        if (!element->implied) {
            g_string_append_printf(text, "%s=", element->name);
        }
        append_doubling_commas(text, element->value);
    }
    return g_string_free(text, FALSE);
}

void keyval_foreach(const KeyVal *keyval,
                    void (*visit)(void *opaque, const char *name, const char *value), void *opaque)
{
    for (guint i = 0; i < keyval->elements->len; i++) {
        const Element *element = &g_array_index(keyval->elements, Element, i);

        visit(opaque, element->name, element->value);
    }
}
