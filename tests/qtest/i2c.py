# SPDX-License-Identifier: BSD-3-Clause
"""A guest's driver of tpm-tis-i2c behind the I2C controller of an ASPEED board, as QEMU's
rainier-bmc machine has it: bytes by the controller's registers, the steps of a command by bytes."""
from harness import wait_for

CONTROLLER, BUS, ADDRESS = 0x1E78A000, 10, 0x2E

REGISTERS = {
    'LOC_SEL': 0x00, 'ACCESS': 0x04, 'INT_ENABLE': 0x08, 'INT_CAPABILITY': 0x14, 'STS': 0x18,
    'DATA_FIFO': 0x24, 'INTF_CAPABILITY': 0x30, 'DEVICE_ADDRESS': 0x38, 'DATA_CSUM_ENABLE': 0x40,
    'DATA_CSUM_GET': 0x44, 'DID_VID': 0x48, 'RID': 0x4C,
}


class Bus:
    """One bus of the controller, in byte mode."""

    FUN_CTRL, CMD, BYTE_BUF = 0x00, 0x14, 0x20
    START, TX, RX, RX_LAST, STOP = 0x01, 0x02, 0x08, 0x10, 0x20

    def __init__(self, qtest, number=BUS):
        self.qtest = qtest
        self.base = CONTROLLER + 0x80 + number * 0x80
        self.set(self.FUN_CTRL, 1)

    def set(self, register, value):
        self.qtest.ok(f'writel {self.base + register:#x} {value:#x}')

    def get(self, register):
        return self.qtest.number(f'readl {self.base + register:#x}')

    def start(self, receive=False, address=ADDRESS):
        self.set(self.BYTE_BUF, address << 1 | receive)
        self.set(self.CMD, self.START | self.TX)

    def send(self, byte):
        self.set(self.BYTE_BUF, byte)
        self.set(self.CMD, self.TX)

    def receive(self, last=False):
        self.set(self.CMD, self.RX | (self.RX_LAST if last else 0))
        return self.get(self.BYTE_BUF) >> 8 & 0xFF

    def stop(self):
        self.set(self.CMD, self.STOP)


class I2c:
    """The TPM's registers, and the steps by which a driver carries out a command."""

    REQUEST_USE, VALID, READY, GO, DATA_AVAIL, EXPECT = 0x02, 0x80, 0x40, 0x20, 0x10, 0x08

    def __init__(self, qtest, bus=BUS):
        self.bus = Bus(qtest, bus)

    def write(self, register, data):
        self.bus.start()
        for byte in bytes([register]) + data:
            self.bus.send(byte)
        self.bus.stop()

    def read(self, register, count):
        self.write(register, b'')
        self.bus.start(receive=True)
        data = bytes(self.bus.receive(last=i == count - 1) for i in range(count))
        self.bus.stop()
        return data

    def select(self, locality):
        self.write(REGISTERS['LOC_SEL'], bytes([locality]))

    def set(self, name, value):
        self.write(REGISTERS[name], bytes([value]))

    def get(self, name, count=1):
        return int.from_bytes(self.read(REGISTERS[name], count), 'little')

    def wait_sts(self, mask, value):
        wait_for(lambda: self.get('STS') & mask == value, f'STS & {mask:#x} == {value:#x}')

    def request(self):
        self.set('ACCESS', self.REQUEST_USE)
        wait_for(lambda: self.get('ACCESS') & 0xA2 == 0xA0, 'grant of the locality')

    def check_csum(self, data):
        """CRC-CCITT, least significant bit first; the wire has its high byte first."""
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
        got = self.read(REGISTERS['DATA_CSUM_GET'], 2)
        assert got == crc.to_bytes(2, 'big'), f'checksum {got.hex()} of {data.hex(" ")}'

    def send(self, command):
        self.set('STS', self.READY)
        self.wait_sts(self.READY, self.READY)
        self.write(REGISTERS['DATA_FIFO'], command[:-1])
        self.wait_sts(self.VALID | self.EXPECT, self.VALID | self.EXPECT)
        self.write(REGISTERS['DATA_FIFO'], command[-1:])
        self.wait_sts(self.VALID | self.EXPECT, self.VALID)
        self.check_csum(command)

    def go(self):
        self.set('STS', self.GO)

    def receive(self):
        self.wait_sts(self.VALID | self.DATA_AVAIL, self.VALID | self.DATA_AVAIL)
        response = b''
        while self.get('STS') & self.DATA_AVAIL:
            burst = self.get('STS', 4) >> 8 & 0xFFFF
            response += self.read(REGISTERS['DATA_FIFO'], min(burst, 32))
        self.check_csum(response)
        return response

    def command(self, command):
        """Carry a command out as a driver does; its response."""
        self.send(command)
        self.go()
        return self.receive()
