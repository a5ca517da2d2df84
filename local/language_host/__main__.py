"""Serve the engine until it says stop: `python __main__.py [FLAGS] ENGINE_ADDRESS` prints the port it listens on."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import grpc

from local.language_host import children
from local.language_host.protocol import add_LanguageRuntimeServicer_to_server
from local.language_host.server import LanguageHost

# A program's configuration and a plugin's answers can be larger than gRPC's default of 4 MiB; the engine allows this much.
_LARGEST_MESSAGE = 400 * 1024 * 1024


def main() -> None:
    """Print the port, then serve until a signal comes."""
    # The address is the last argument; logging and tracing flags may stand before it.
    address = sys.argv[-1] if len(sys.argv) > 1 and not sys.argv[-1].startswith("-") else ""
    # Each policy pack and the program hold a thread for as long as they run.
    server = grpc.server(
        ThreadPoolExecutor(max_workers=32),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            ("grpc.so_reuseport", 0),
        ],
    )
    add_LanguageRuntimeServicer_to_server(LanguageHost(address), server)
    port = server.add_insecure_port("127.0.0.1:0")
    children.end_with(address)
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
