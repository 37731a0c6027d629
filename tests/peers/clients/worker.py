"""A Temporal worker whose token is a file.

Prints READY when it polls, ROTATED n for each new token it took up, and ends
with 0 on SIGTERM. A worker that the server refuses for good ends by itself.
"""

import asyncio
import signal

from temporalio.worker import Worker

import session
import workflows


async def work(options) -> None:
    client = await session.connect(options)
    worker = Worker(
        client,
        task_queue=options.task_queue,
        workflows=[workflows.Assay],
        activities=[workflows.strike],
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)

    running = asyncio.create_task(worker.run())
    stopping = asyncio.create_task(stop.wait())
    following = (
        asyncio.create_task(session.follow(options.token_file, client))
        if options.token_file
        else None
    )
    print("READY", flush=True)
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await worker.shutdown()
        await running
    finally:
        stopping.cancel()
        if following:
            following.cancel()


if __name__ == "__main__":
    session.main(work(session.arguments(__doc__).parse_args()))
