"""The process that the shell starts for a job which a job server does: it waits for the end.

``python -S -P job_client.py SCRIPT WORDS`` hands the command line, the environment, the working
folder and the standard streams to the server that the variable :data:`VARIABLE` names, waits,
and ends with the job's exit code. Where there is no server it becomes ``python SCRIPT WORDS``
itself. It needs the standard library alone, and little of that, so that it starts within 10 ms.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

VARIABLE: Final = "DRPFLOW_JOB_SERVER"
"""Environment variable with the name of the server's socket."""
ACCEPTED: Final = b"+"
"""What the job says first: from here on it is the job's process that does the work."""
HEAD: Final = struct.Struct("!I")
"""Number of bytes that follow the standard streams."""
# What the shell says of a process that was killed.
_KILLED = 128 + signal.SIGKILL
_NO_CODE = "the process of the job was killed (by the system, for want of memory?), or crashed\n"
_USER_OF_PEER = struct.Struct("3i")


def address(name: str) -> str:
    """Return the address of a server's socket: no file, so that nothing of it can be left."""
    return "\0" + name


def user_of_peer(connection: socket.socket) -> int:
    """Return the user id of the process at the other end of a connection."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _USER_OF_PEER.size)
    return int(_USER_OF_PEER.unpack(found)[1])


def ask(words: list[str]) -> int | None:
    """Have a job done; return its exit code, None if no server has begun it.

    Parameters
    ----------
    words
        The script and its arguments.
    """
    name = os.environ.get(VARIABLE)
    if not name or os.environ.get("OMP_NUM_THREADS", "1") != "1":
        return None
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes longer to load than all else here
    body = json.dumps([words, folder, dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address(name))
            if user_of_peer(connection) != os.geteuid():
                return None
            socket.send_fds(connection, [HEAD.pack(len(body))], [0, 1, 2])
            connection.sendall(body)
            begun = connection.recv(1) == ACCEPTED
        except OSError:
            return None
        return _end(connection) if begun else None


def _end(connection: socket.socket) -> int:
    """Wait until the process of a job that has begun is gone, and return its exit code."""
    said = b""
    try:
        while more := connection.recv(1):
            said += more
    except OSError:
        pass  # that is its end, too
    if said:
        return said[0]
    sys.stderr.write(_NO_CODE)
    return _KILLED


def _open_streams() -> None:
    """Open the standard streams that are closed: the socket would become one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def main() -> None:
    """Do what the module says."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_streams()
    words = sys.argv[1:]
    code = ask(words)
    if code is None:
        os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - no shell is wanted
    sys.exit(code)


if __name__ == "__main__":
    main()
