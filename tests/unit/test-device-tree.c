/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device-tree node: every property of every kind of device, and that a tree which cannot take
 * it stays as it was to the last byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>
#include <tpmdev/tpmdev.h>

#define TREE_SIZE 0x1000

typedef struct Tree {
    TPMDeviceTreeConfig config;
    uint32_t fdt[TREE_SIZE / sizeof(uint32_t)];
} Tree;

static int add_bus(void *fdt, const char *name, uint32_t address_cells, uint32_t size_cells)
{
    int node = *name ? fdt_add_subnode(fdt, 0, name) : 0;

    assert_true(node >= 0);
    assert_int_equal(fdt_setprop_u32(fdt, node, "#address-cells", address_cells), 0);
    assert_int_equal(fdt_setprop_u32(fdt, node, "#size-cells", size_cells), 0);
    return node;
}

static int set_up(void **state)
{
    Tree *tree = g_new0(Tree, 1);

    tree->config = (TPMDeviceTreeConfig)TPM_DEVICE_TREE_CONFIG_INIT;
    assert_int_equal(fdt_create_empty_tree(tree->fdt, TREE_SIZE), 0);
    add_bus(tree->fdt, "", 2, 2);
    add_bus(tree->fdt, "platform-bus", 1, 1);
    add_bus(tree->fdt, "bus", 1, 0);
    add_bus(tree->fdt, "wide", 3, 2);
    *state = tree;
    return 0;
}

static int tear_down(void **state)
{
    g_free(*state);
    return 0;
}

/* A tpm-spapr wants them; none is called here. */
static bool dma_read(void *opaque, uint64_t address, void *data, size_t size)
{
    (void)opaque;
    (void)address;
    (void)data;
    (void)size;
    return false;
}

static bool dma_write(void *opaque, uint64_t address, const void *data, size_t size)
{
    (void)opaque;
    (void)address;
    (void)data;
    (void)size;
    return false;
}

static bool send_crq(void *opaque, const uint8_t message[16])
{
    (void)opaque;
    (void)message;
    return false;
}

static TPMDevice *new_device(TPMInterface interface, TPMVersion version)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", version, NULL);

    host.dma_read = dma_read;
    host.dma_write = dma_write;
    host.send_crq = send_crq;
    config.interface = interface;
    TPMDevice *device = tpmdev_device_new(&config, backend, &host, NULL, NULL);

    assert_non_null(device);
    tpmdev_backend_unref(backend);
    return device;
}

static void add(Tree *tree, TPMInterface interface, TPMVersion version)
{
    TPMDevice *device = new_device(interface, version);
    GError *error = NULL;

    tpmdev_device_tree_add(device, &tree->config, tree->fdt, &error);
    assert_null(error);
    tpmdev_device_free(device);
}

static void assert_refused(Tree *tree, TPMInterface interface, TPMError code, const char *message)
{
    TPMDevice *device = new_device(interface, TPM_VERSION_2_0);
    g_autofree void *before = g_memdup2(tree->fdt, TREE_SIZE);
    GError *error = NULL;

    assert_false(tpmdev_device_tree_add(device, &tree->config, tree->fdt, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, (gint)code));
    assert_string_equal(error->message, message);
    assert_memory_equal(tree->fdt, before, TREE_SIZE);
    g_clear_error(&error);
    tpmdev_device_free(device);
}

static void assert_property(Tree *tree, const char *path, const char *name, const void *expected,
                            int expected_size)
{
    int node = fdt_path_offset(tree->fdt, path);
    int size;

    assert_true(node >= 0);
    const void *value = fdt_getprop(tree->fdt, node, name, &size);

    assert_non_null(value);
    assert_int_equal(size, expected_size);
    assert_memory_equal(value, expected, (size_t)size);
}

static void assert_text(Tree *tree, const char *path, const char *name, const char *expected)
{
    assert_property(tree, path, name, expected, (int)strlen(expected) + 1);
}

#define ASSERT_CELLS(tree, path, name, ...)                                                        \
    assert_cells(tree, path, name, (const uint32_t[]){ __VA_ARGS__ },                              \
                 sizeof((const uint32_t[]){ __VA_ARGS__ }))

static void assert_cells(Tree *tree, const char *path, const char *name, const uint32_t *cells,
                         size_t size)
{
    uint32_t big_endian[8];

    for (size_t i = 0; i < size / 4; i++) {
        big_endian[i] = GUINT32_TO_BE(cells[i]);
    }
    assert_property(tree, path, name, big_endian, (int)size);
}

static void assert_no_property(Tree *tree, const char *path, const char *name)
{
    int node = fdt_path_offset(tree->fdt, path);

    assert_true(node >= 0);
    assert_null(fdt_getprop(tree->fdt, node, name, NULL));
}

/* ---- what is written ---- */

static void test_a_node_has_by_default_what_it_needs_and_no_more(void **state)
{
    Tree *tree = *state;

    add(tree, TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    assert_text(tree, "/tpm@fed40000", "compatible", "tcg,tpm-tis-mmio");
    ASSERT_CELLS(tree, "/tpm@fed40000", "reg", 0, 0xFED40000, 0, 0x5000);
    assert_no_property(tree, "/tpm@fed40000", "interrupts");
    assert_no_property(tree, "/tpm@fed40000", "interrupt-parent");
    assert_no_property(tree, "/tpm@fed40000", "linux,sml-base");
    assert_no_property(tree, "/tpm@fed40000", "linux,sml-size");
    assert_no_property(tree, "/tpm@fed40000", "spi-max-frequency");
}

static void test_sysbus_devices_and_both_versions_have_one_binding(void **state)
{
    Tree *tree = *state;

    tree->config.address = 0x0C000000;
    add(tree, TPM_INTERFACE_TIS_SYSBUS, TPM_VERSION_1_2);
    assert_text(tree, "/tpm@c000000", "compatible", "tcg,tpm-tis-mmio");
}

static void test_reg_has_the_cells_of_its_bus(void **state)
{
    Tree *tree = *state;

    tree->config.address = 0x123456789000;
    add(tree, TPM_INTERFACE_TIS_SYSBUS, TPM_VERSION_2_0);
    ASSERT_CELLS(tree, "/tpm@123456789000", "reg", 0x1234, 0x56789000, 0, 0x5000);
    tree->config.parent = "/platform-bus";
    tree->config.address = 0x10000;
    add(tree, TPM_INTERFACE_TIS_SYSBUS, TPM_VERSION_2_0);
    ASSERT_CELLS(tree, "/platform-bus/tpm@10000", "reg", 0x10000, 0x5000);
}

static void test_an_interrupt_is_written_as_its_controller_counts(void **state)
{
    static const uint32_t interrupt[] = { 0, 112, 4 };
    Tree *tree = *state;

    tree->config.interrupt = interrupt;
    tree->config.interrupt_cells = G_N_ELEMENTS(interrupt);
    add(tree, TPM_INTERFACE_TIS_SYSBUS, TPM_VERSION_2_0);
    ASSERT_CELLS(tree, "/tpm@fed40000", "interrupts", 0, 112, 4);
    assert_no_property(tree, "/tpm@fed40000", "interrupt-parent");
    tree->config.interrupt_parent = 0x8001;
    tree->config.address = 0x1000;
    add(tree, TPM_INTERFACE_TIS_SYSBUS, TPM_VERSION_2_0);
    ASSERT_CELLS(tree, "/tpm@1000", "interrupt-parent", 0x8001);
}

static void test_the_log_is_a_base_of_64_bits_and_a_size_of_32(void **state)
{
    Tree *tree = *state;

    tree->config.log_address = 0x123456789000;
    tree->config.log_size = 0x40000;
    add(tree, TPM_INTERFACE_TIS_SYSBUS, TPM_VERSION_2_0);
    ASSERT_CELLS(tree, "/tpm@fed40000", "linux,sml-base", 0x1234, 0x56789000);
    ASSERT_CELLS(tree, "/tpm@fed40000", "linux,sml-size", 0x40000);
}

static void test_spi_has_a_chip_select_and_a_clock(void **state)
{
    Tree *tree = *state;

    tree->config.parent = "/bus";
    tree->config.address = 1;
    add(tree, TPM_INTERFACE_TIS_SPI, TPM_VERSION_2_0);
    assert_text(tree, "/bus/tpm@1", "compatible", "tcg,tpm_tis-spi");
    ASSERT_CELLS(tree, "/bus/tpm@1", "reg", 1);
    ASSERT_CELLS(tree, "/bus/tpm@1", "spi-max-frequency", 10000000);
}

static void test_i2c_has_its_address_and_no_clock(void **state)
{
    Tree *tree = *state;

    tree->config.parent = "/bus";
    tree->config.address = 0x2E;
    add(tree, TPM_INTERFACE_TIS_I2C, TPM_VERSION_2_0);
    assert_text(tree, "/bus/tpm@2e", "compatible", "tcg,tpm-tis-i2c");
    ASSERT_CELLS(tree, "/bus/tpm@2e", "reg", 0x2E);
    assert_no_property(tree, "/bus/tpm@2e", "spi-max-frequency");
}

static const uint32_t dma_window[] = { 0x71000003, 0, 0, 0, 0x10000000 };

static void test_a_virtual_device_has_its_dma_window(void **state)
{
    static const uint32_t interrupt[] = { 0x1003, 0 };
    Tree *tree = *state;

    tree->config.parent = "/bus";
    tree->config.address = 0x71000003;
    tree->config.dma_window = dma_window;
    tree->config.interrupt = interrupt;
    tree->config.interrupt_cells = G_N_ELEMENTS(interrupt);
    add(tree, TPM_INTERFACE_SPAPR, TPM_VERSION_2_0);
    assert_text(tree, "/bus/vtpm@71000003", "compatible", "IBM,vtpm20");
    assert_text(tree, "/bus/vtpm@71000003", "device_type", "IBM,vtpm");
    ASSERT_CELLS(tree, "/bus/vtpm@71000003", "reg", 0x71000003);
    ASSERT_CELLS(tree, "/bus/vtpm@71000003", "interrupts", 0x1003, 0);
    ASSERT_CELLS(tree, "/bus/vtpm@71000003", "ibm,my-dma-window", 0x71000003, 0, 0, 0, 0x10000000);
    ASSERT_CELLS(tree, "/bus/vtpm@71000003", "ibm,#dma-address-cells", 2);
    ASSERT_CELLS(tree, "/bus/vtpm@71000003", "ibm,#dma-size-cells", 2);
}

static void test_a_virtual_tpm_1_2_has_a_name_of_its_own(void **state)
{
    Tree *tree = *state;

    tree->config.parent = "/bus";
    tree->config.address = 0x71000003;
    tree->config.dma_window = dma_window;
    add(tree, TPM_INTERFACE_SPAPR, TPM_VERSION_1_2);
    assert_text(tree, "/bus/vtpm@71000003", "compatible", "IBM,vtpm");
}

static void test_a_virtual_device_has_a_window_and_no_log(void **state)
{
    Tree *tree = *state;

    tree->config.parent = "/bus";
    tree->config.address = 0x71000003;
    assert_refused(tree, TPM_INTERFACE_SPAPR, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: dma_window is missing; give the 5 numbers of "
                   "ibm,my-dma-window");
    tree->config.dma_window = dma_window;
    tree->config.log_address = 0x1000;
    assert_refused(tree, TPM_INTERFACE_SPAPR, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: log_address is set; leave it 0, firmware of a pSeries machine "
                   "makes the log and tells of it");
}

static void test_a_shorter_config_has_the_defaults_behind_its_end(void **state)
{
    Tree *tree = *state;

    tree->config.address = 0x2000;
    tree->config.log_address = 0x1000; /* beyond what the size says */
    tree->config.size = offsetof(TPMDeviceTreeConfig, interrupt);
    add(tree, TPM_INTERFACE_TIS_SYSBUS, TPM_VERSION_2_0);
    assert_no_property(tree, "/tpm@2000", "linux,sml-base");
}

/* ---- what is refused ---- */

static void test_a_device_without_a_binding_is_refused(void **state)
{
    assert_refused(*state, TPM_INTERFACE_CRB, TPM_ERROR_UNSUPPORTED,
                   "TPM device tree: there is no binding for tpm-crb; describe it by ACPI, or use "
                   "tpm-tis-device");
}

static void test_a_parent_that_is_not_there_is_named(void **state)
{
    Tree *tree = *state;

    tree->config.parent = "/soc";
    assert_refused(tree, TPM_INTERFACE_TIS, TPM_ERROR_NOT_FOUND,
                   "TPM device tree: parent '/soc' is not there (FDT_ERR_NOTFOUND); give the path "
                   "of the bus");
}

static void test_a_parent_is_given(void **state)
{
    Tree *tree = *state;

    tree->config.parent = NULL;
    assert_refused(tree, TPM_INTERFACE_TIS, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: parent is NULL; give the path of the bus, such as /");
}

static void test_two_tpms_do_not_share_an_address(void **state)
{
    Tree *tree = *state;

    add(tree, TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    assert_refused(tree, TPM_INTERFACE_TIS_SYSBUS, TPM_ERROR_IN_USE,
                   "TPM device tree: '/' has a node 'tpm@fed40000' already; give each TPM an "
                   "address of its own");
}

static void test_a_bus_of_another_kind_is_refused(void **state)
{
    Tree *tree = *state;

    tree->config.parent = "/bus";
    assert_refused(tree, TPM_INTERFACE_TIS, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: '/bus' has 1 address cells and 0 size cells; a bus for "
                   "tcg,tpm-tis-mmio has one or two of each");
    tree->config.parent = "/wide";
    assert_refused(tree, TPM_INTERFACE_TIS, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: '/wide' has 3 address cells and 2 size cells; a bus for "
                   "tcg,tpm-tis-mmio has one or two of each");
    tree->config.parent = "/platform-bus";
    assert_refused(tree, TPM_INTERFACE_TIS_SPI, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: '/platform-bus' has 1 address cells and 1 size cells; a bus "
                   "for tcg,tpm_tis-spi has one address cell and no size cell");
}

static void test_an_address_fits_its_cells(void **state)
{
    Tree *tree = *state;

    tree->config.parent = "/platform-bus";
    tree->config.address = UINT64_C(0x100000000);
    assert_refused(tree, TPM_INTERFACE_TIS, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: address 0x100000000 does not fit the one address cell of "
                   "'/platform-bus'; give one below 0x100000000");
}

static void test_an_interrupt_has_cells(void **state)
{
    Tree *tree = *state;

    tree->config.interrupt_cells = 3;
    assert_refused(tree, TPM_INTERFACE_TIS, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: interrupt and interrupt_cells go together; give both or none");
}

static void test_a_log_has_a_size(void **state)
{
    Tree *tree = *state;

    tree->config.log_address = 0x1000;
    tree->config.log_size = 0;
    assert_refused(tree, TPM_INTERFACE_TIS, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: log_size is 0 though log_address is set; give the log's size "
                   "in bytes, such as 0x10000");
}

static void test_what_is_no_tree_is_refused(void **state)
{
    Tree *tree = *state;

    tree->fdt[0] = 0;
    assert_refused(tree, TPM_INTERFACE_TIS, TPM_ERROR_INVALID_OPTION,
                   "TPM device tree: fdt is no flattened device tree: FDT_ERR_BADMAGIC");
}

/* With every amount of room below what is needed the tree stays as it was, and then it fits. */
static void test_a_tree_without_room_stays_as_it_was(void **state)
{
    static const uint32_t interrupt[] = { 0, 112, 4 };
    Tree *tree = *state;
    unsigned size;

    tree->config.interrupt = interrupt;
    tree->config.interrupt_cells = G_N_ELEMENTS(interrupt);
    tree->config.log_address = 0x1000;
    assert_int_equal(fdt_pack(tree->fdt), 0);
    unsigned packed = fdt_totalsize(tree->fdt);

    for (size = packed; size < packed + 400; size += 4) {
        g_autofree void *fdt = g_malloc0(size);
        g_autofree void *before = NULL;
        TPMDevice *device = new_device(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
        GError *error = NULL;

        assert_int_equal(fdt_open_into(tree->fdt, fdt, (int)size), 0);
        before = g_memdup2(fdt, size);
        bool added = tpmdev_device_tree_add(device, &tree->config, fdt, &error);

        tpmdev_device_free(device);
        if (added) {
            break;
        }
        assert_string_equal(error->message,
                            "TPM device tree: node 'tpm@fed40000' cannot be written "
                            "(FDT_ERR_NOSPACE); give the tree some 300 bytes more by "
                            "fdt_open_into()");
        assert_memory_equal(fdt, before, size);
        g_clear_error(&error);
    }
    assert_in_range(size, packed + 4, packed + 300);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_node_has_by_default_what_it_needs_and_no_more),
        TEST(test_sysbus_devices_and_both_versions_have_one_binding),
        TEST(test_reg_has_the_cells_of_its_bus),
        TEST(test_an_interrupt_is_written_as_its_controller_counts),
        TEST(test_the_log_is_a_base_of_64_bits_and_a_size_of_32),
        TEST(test_spi_has_a_chip_select_and_a_clock),
        TEST(test_i2c_has_its_address_and_no_clock),
        TEST(test_a_virtual_device_has_its_dma_window),
        TEST(test_a_virtual_tpm_1_2_has_a_name_of_its_own),
        TEST(test_a_virtual_device_has_a_window_and_no_log),
        TEST(test_a_shorter_config_has_the_defaults_behind_its_end),
        TEST(test_a_device_without_a_binding_is_refused),
        TEST(test_a_parent_that_is_not_there_is_named),
        TEST(test_a_parent_is_given),
        TEST(test_two_tpms_do_not_share_an_address),
        TEST(test_a_bus_of_another_kind_is_refused),
        TEST(test_an_address_fits_its_cells),
        TEST(test_an_interrupt_has_cells),
        TEST(test_a_log_has_a_size),
        TEST(test_what_is_no_tree_is_refused),
        TEST(test_a_tree_without_room_stays_as_it_was),
    };

    return cmocka_run_group_tests_name("device-tree", tests, NULL, NULL);
}
