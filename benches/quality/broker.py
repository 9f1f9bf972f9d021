"""A real Mosquitto of our own, and a QoS 1 publisher over a plain socket."""

import shutil
import socket
import struct
import subprocess
import threading
import time

IN_FLIGHT_MAX = 2_000
RUN = 64


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Mosquitto:
    """Started on a free port; nothing it queues is dropped (by default it keeps 1,000 a client)."""

    def __init__(self, folder):
        self.port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\n"
            "max_queued_messages 0\nset_tcp_nodelay true\nlog_type none\n"
        )
        binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([binary, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit("mosquitto does not answer: run scripts/setup")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def remaining_length(length):
    out = bytearray()
    while True:
        length, byte = divmod(length, 128)
        out.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(out)


def publish(port, messages):
    """Publishes (topic, payload) in order at QoS 1; returns how many once all are acknowledged."""
    link = socket.create_connection(("127.0.0.1", port))
    link.sendall(b"\x10\x13\x00\x04MQTT\x04\x02\x00\x00\x00\x07quality")
    assert link.recv(4) == b"\x20\x02\x00\x00", "the broker refused the session"
    acked = [0]

    def count_pubacks():
        while chunk := link.recv(65536):
            acked[0] += len(chunk)

    reader = threading.Thread(target=count_pubacks, daemon=True)
    reader.start()
    sent, packets = 0, []
    for topic, payload in messages:
        body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", sent % 65535 + 1) + payload
        packets.append(b"\x32" + remaining_length(len(body)) + body)
        sent += 1
        if len(packets) == RUN:
            link.sendall(b"".join(packets))
            packets = []
            while sent - acked[0] // 4 > IN_FLIGHT_MAX:
                time.sleep(0.0005)
    link.sendall(b"".join(packets))
    while acked[0] // 4 < sent:
        time.sleep(0.005)
    link.sendall(b"\xe0\x00")
    reader.join(10)
    link.close()
    return sent
