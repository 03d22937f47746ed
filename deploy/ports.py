"""Ports for daemons of a practice realm or of a test: they keep them while a daemon is down."""
import random
import socket

LOWEST = 10_240


def first_ephemeral():
    """From here on the kernel gives ports to whoever connects."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        return int(file.read().split()[0])


def free_ports(count):
    """Different TCP ports that nobody uses now, and that no connection is given while their daemon is being started again."""
    end = first_ephemeral()
    choice = range(LOWEST, end) if end > LOWEST + 1000 else range(LOWEST, 32_768)
    held = []
    try:
        for port in random.sample(choice, len(choice)):
            if len(held) == count:
                break
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                one.close()
            else:
                held.append(one)
        if len(held) < count:
            raise OSError(f"fewer than {count} free ports")
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
