"""What a token may do: fourteen calls, one line of JSON with the status of each.

    probe.py --address HOST:PORT [--token-file FILE]     the answers
    probe.py ... --expect read                           and compared

Without a token file the calls go out with no token. Three namespaces matter:
the token's own, another that exists, and one that does not. To learn about Poll
and Respond there must be a task: it is queued, and handed over if the token
itself may not poll, with --helper-token-file, a token with write on the own
namespace (by default the token under test).

--expect compares with a row of truth.json, prints each difference to stderr and
exits with 1 if there is one.
"""

import argparse
import json
import sys
import uuid
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.namespace.v1 import UpdateNamespaceInfo
from temporalio.api.operatorservice.v1 import (
    ListSearchAttributesRequest,
    OperatorServiceStub,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    GetClusterInfoRequest,
    GetSystemInfoRequest,
    ListNamespacesRequest,
    ListWorkflowExecutionsRequest,
    PollWorkflowTaskQueueRequest,
    RegisterNamespaceRequest,
    RespondWorkflowTaskCompletedRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UpdateNamespaceRequest,
    WorkflowServiceStub,
)

TRUTH = Path(__file__).with_name("truth.json")
DEADLINE = 10  # seconds; a poll of less than two is refused for being short


class Caller:
    """Calls made with one token, or with none."""

    def __init__(self, channel: grpc.Channel, token: str | None):
        self.workflow = WorkflowServiceStub(channel)
        self.operator = OperatorServiceStub(channel)
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    def ask(self, method, request):
        """The status name and, when it is OK, the answer."""
        try:
            return "OK", method(request, metadata=self.metadata, timeout=DEADLINE)
        except grpc.RpcError as error:
            return error.code().name, None


def probe(tested: Caller, helper: Caller, own: str, other: str, absent: str) -> dict:
    stub = tested.workflow
    answers = {}

    def note(name, method, request):
        answers[name], _ = tested.ask(method, request)

    note("SysInfo", stub.GetSystemInfo, GetSystemInfoRequest())
    note("DescNS own", stub.DescribeNamespace, DescribeNamespaceRequest(namespace=own))
    note("DescNS other", stub.DescribeNamespace, DescribeNamespaceRequest(namespace=other))
    note("DescNS absent", stub.DescribeNamespace, DescribeNamespaceRequest(namespace=absent))
    note("ListNS", stub.ListNamespaces, ListNamespacesRequest())
    answers.update(run_a_task(tested, helper, own))
    note("ListWF", stub.ListWorkflowExecutions, ListWorkflowExecutionsRequest(namespace=own))
    note(
        "UpdNS",
        stub.UpdateNamespace,
        UpdateNamespaceRequest(
            namespace=own, update_info=UpdateNamespaceInfo(description="probed")
        ),
    )
    note(
        "RegNS new",
        stub.RegisterNamespace,
        RegisterNamespaceRequest(
            namespace=f"probe-{uuid.uuid4()}",
            workflow_execution_retention_period=Duration(seconds=86400),
        ),
    )
    operator = tested.operator.ListSearchAttributes
    note("OpListSA own", operator, ListSearchAttributesRequest(namespace=own))
    note("OpListSA none", operator, ListSearchAttributesRequest())
    note("ClusterInfo", stub.GetClusterInfo, GetClusterInfoRequest())
    return answers


def run_a_task(tested: Caller, helper: Caller, own: str) -> dict:
    """Start, Poll and Respond on a queue of their own."""
    queue = TaskQueue(name=f"probe-{uuid.uuid4()}")
    started = []

    def start(caller):
        workflow_id = f"probe-{uuid.uuid4()}"
        status, _ = caller.ask(
            caller.workflow.StartWorkflowExecution,
            StartWorkflowExecutionRequest(
                namespace=own,
                workflow_id=workflow_id,
                workflow_type=WorkflowType(name="Probe"),
                task_queue=queue,
                request_id=str(uuid.uuid4()),
            ),
        )
        if status == "OK":
            started.append(workflow_id)
        return status

    def poll(caller):
        return caller.ask(
            caller.workflow.PollWorkflowTaskQueue,
            PollWorkflowTaskQueueRequest(namespace=own, task_queue=queue),
        )

    start_status = start(tested)
    if start_status != "OK":
        start(helper)
    poll_status, task = poll(tested)
    if poll_status != "OK":
        _, task = poll(helper)
    respond_status, _ = tested.ask(
        tested.workflow.RespondWorkflowTaskCompleted,
        RespondWorkflowTaskCompletedRequest(
            namespace=own, task_token=task.task_token if task else b""
        ),
    )
    for workflow_id in started:
        request = TerminateWorkflowExecutionRequest(namespace=own)
        request.workflow_execution.workflow_id = workflow_id
        helper.ask(helper.workflow.TerminateWorkflowExecution, request)
    return {"Start": start_status, "Poll": poll_status, "Respond": respond_status}


def differences(answers: dict, row: str) -> list[str]:
    truth = json.loads(TRUTH.read_text())
    wanted = dict(zip(truth["calls"], truth["rows"][row].split(), strict=True))
    names = truth["statuses"]
    return [
        f"{call}: expected {names[short]}, got {answers[call]}"
        for call, short in wanted.items()
        if names[short] != answers[call]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--address", required=True, help="host:port, plaintext")
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--helper-token-file", type=Path)
    parser.add_argument("--own", default="payments")
    parser.add_argument("--other", default="orders")
    parser.add_argument("--absent", default="nosuch")
    parser.add_argument("--expect", metavar="ROW", help="a row of truth.json")
    options = parser.parse_args()

    def token(path):
        return path.read_text(encoding="ascii").strip() if path else None

    with grpc.insecure_channel(options.address) as channel:
        tested = Caller(channel, token(options.token_file))
        helper = Caller(channel, token(options.helper_token_file or options.token_file))
        answers = probe(tested, helper, options.own, options.other, options.absent)
    print(json.dumps(answers))
    if options.expect:
        wrong = differences(answers, options.expect)
        print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
        return 1 if wrong else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
