"""Starts one workflow and waits for its end.

Prints RESULT and what the workflow returned; or STATUS and the name of the gRPC
status, FAILED and why, or TIMEOUT, and then exits with 1.
"""

import asyncio
import uuid
from datetime import timedelta

import session
import workflows


async def start(options) -> None:
    async with asyncio.timeout(options.timeout):
        client = await session.connect(options)
        following = (
            asyncio.create_task(session.follow(options.token_file, client))
            if options.token_file
            else None
        )
        try:
            result = await client.execute_workflow(
                workflows.WORKFLOW,
                args=[options.name, int(options.pause * 1000)],
                id=options.workflow_id or f"assay-{uuid.uuid4()}",
                task_queue=options.task_queue,
                task_timeout=timedelta(seconds=5),
                result_type=str,
            )
        finally:
            if following:
                following.cancel()
    print("RESULT", result, flush=True)


if __name__ == "__main__":
    parser = session.arguments(__doc__)
    parser.add_argument("--name", default="python", help="argument of the workflow")
    parser.add_argument("--pause", type=float, default=0, help="seconds it sleeps first")
    parser.add_argument("--timeout", type=float, default=60, help="give up after seconds")
    parser.add_argument("--workflow-id")
    session.main(start(parser.parse_args()))
