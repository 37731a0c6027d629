"""A Temporal worker whose credential is renewed while it runs.

    pip install temporalio
"""

import asyncio
import json
import logging
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker


def exchange() -> tuple[str, float]:
    """The platform's token for a Temporal credential and its seconds to live."""
    # Read anew each time: the platform replaces it.
    token = pathlib.Path(os.environ["ASSAY_TOKEN_FILE"]).read_text().strip()
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": token,
        "audience": os.environ["ASSAY_TARGET"],
    }
    try:
        with urllib.request.urlopen(
            os.environ["ASSAY_URL"] + "/oauth2/token",
            data=urllib.parse.urlencode(form).encode(),
            timeout=10,
        ) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as refusal:
        # Says why, by a stable `reason`; never holds a token.
        raise OSError(f"{refusal.code} {refusal.read().decode()}") from None
    return body["access_token"], body["expires_in"]


async def keep_fresh(client: Client, life: float) -> None:
    """Renews at half of the credential's life. A renewal that fails is tried
    again; until it works the last good credential goes on."""
    wait = life / 2
    while True:
        await asyncio.sleep(wait)
        try:
            client.api_key, life = await asyncio.to_thread(exchange)
            wait = life / 2
        except OSError as fault:
            logging.warning("the Temporal credential was not renewed: %s", fault)
            wait = 10


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            greet, name, start_to_close_timeout=timedelta(seconds=10)
        )


async def main() -> None:
    credential, life = await asyncio.to_thread(exchange)
    client = await Client.connect(
        os.environ["TEMPORAL_ADDRESS"],
        namespace=os.environ["TEMPORAL_NAMESPACE"],
        api_key=credential,
        # An API key turns TLS on; a server on this machine may have none.
        tls=os.environ.get("TEMPORAL_TLS") != "false",
    )
    renewal = asyncio.create_task(keep_fresh(client, life))
    try:
        await Worker(
            client, task_queue="greetings", workflows=[Greeting], activities=[greet]
        ).run()
    finally:
        renewal.cancel()


if __name__ == "__main__":
    asyncio.run(main())
