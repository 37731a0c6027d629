"""What worker.py and start.py share: a client whose API key follows a file."""

import argparse
import asyncio
import os
import re
import sys
from pathlib import Path

from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--address", required=True, help="host:port of the frontend, plaintext")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--task-queue", default="assay")
    parser.add_argument("--token-file", type=Path, help="without it, no credential is sent")
    return parser


async def connect(options: argparse.Namespace) -> Client:
    token = read(options.token_file) if options.token_file else None
    # An API key switches TLS on unless told otherwise; the peer is plaintext.
    return await Client.connect(
        options.address, namespace=options.namespace, api_key=token, tls=False
    )


def read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


async def follow(path: Path, client: Client, every: float = 0.2) -> None:
    """Gives the live client each new content of the file, and says so.

    A file that is absent or blank for a moment is not a rotation: writers are
    expected to rename a whole file into place, but none is punished for less.
    """
    rotations = 0
    while True:
        await asyncio.sleep(every)
        try:
            token = read(path)
        except FileNotFoundError:
            continue
        if token and token != client.api_key:
            client.api_key = token
            rotations += 1
            print("ROTATED", rotations, flush=True)


def status_of(error: BaseException) -> str:
    """One line for the script that started us."""
    if isinstance(error, RPCError):
        return f"STATUS {error.status.name}"
    if isinstance(error, WorkflowFailureError):
        return f"FAILED {error.cause}"
    if isinstance(error, asyncio.TimeoutError):
        return "TIMEOUT"
    # A refusal while connecting carries its status only in the text.
    found = re.search(r"code: '?(\w+)|status: '?(\w+)", str(error))
    name = next((group for group in found.groups() if group), "") if found else ""
    return f"STATUS {snake(name)}" if name else f"ERROR {type(error).__name__}"


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def main(program) -> None:
    """Runs the program; on failure, the status to stdout and the story to stderr."""
    status = 0
    try:
        asyncio.run(program)
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    except Exception as error:  # whatever it was, the caller gets one line
        print(status_of(error), flush=True)
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        status = 1
    # Threads of the SDK may still run, and an interpreter that takes itself apart
    # under them aborts now and then.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
