"""The workflow and the activity that every worker here runs.

The workflow sandbox imports this module again for each run, so it stays light:
nothing but the SDK.
"""

from datetime import timedelta

from temporalio import activity, workflow

WORKFLOW = "Assay"
ACTIVITY = "strike"


@activity.defn(name=ACTIVITY)
async def strike(name: str) -> str:
    return f"struck {name}"


@workflow.defn(name=WORKFLOW)
class Assay:
    """Sleeps, then lets the activity answer: with a pause longer than a token's
    life, the end is reached only on a rotated one."""

    @workflow.run
    async def run(self, name: str, pause_millis: int) -> str:
        if pause_millis > 0:
            await workflow.sleep(pause_millis / 1000)
        return await workflow.execute_activity(
            ACTIVITY, name, result_type=str, start_to_close_timeout=timedelta(seconds=10)
        )
