"""Runs a command beside a Milvus server: `unshare --net python milvus_server.py FOLDER COMMAND...`.

The server is that of the package `milvus`, which listens on all interfaces and asks nobody for a password; in a network
namespace of its own there is no interface but the loopback. The command finds its address in VIREID_MILVUS_URI.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

from milvus import default_server

SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40  # of netdevice(7)


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP | IFF_RUNNING))


def main(folder: str, *command: str) -> int:
    raise_loopback()
    default_server.set_base_dir(folder)
    try:
        default_server.start()
        address = f"http://127.0.0.1:{default_server.listen_port}"
        return subprocess.run(command, env={**os.environ, "VIREID_MILVUS_URI": address}, check=False).returncode
    finally:
        default_server.stop()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
