// Command goworker is a client of the second SDK (Go) in the end-to-end tests.
//
//	goworker worker -task-queue Q ...   polls Q until SIGTERM, prints READY
//	goworker start  -task-queue Q ...   starts one workflow, prints its result
//
// Both read their token from a file at every single call, so replacing the file
// is a rotation and deleting it is an outage: no call rides on an old token.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/genproto/googleapis/rpc/code"
)

// WorkflowName and ActivityName are shared with the Python worker, so either
// SDK can start what the other one runs.
const (
	WorkflowName = "Assay"
	ActivityName = "strike"
)

type options struct {
	address, namespace, taskQueue, tokenFile string
	workflowID                               string
	pause, timeout                           time.Duration
}

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("usage: goworker worker|start [flags]"))
	}
	command := os.Args[1]
	var o options
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	flags.StringVar(&o.address, "address", "", "host:port of the frontend, plaintext")
	flags.StringVar(&o.namespace, "namespace", "default", "namespace")
	flags.StringVar(&o.taskQueue, "task-queue", "assay", "task queue")
	flags.StringVar(&o.tokenFile, "token-file", "", "file that holds the token; none is sent without it")
	flags.StringVar(&o.workflowID, "workflow-id", "", "start: id of the workflow")
	flags.DurationVar(&o.pause, "pause", 0, "start: how long the workflow sleeps before its activity")
	flags.DurationVar(&o.timeout, "timeout", 60*time.Second, "start: give up after this long")
	_ = flags.Parse(os.Args[2:]) // ExitOnError

	var err error
	switch command {
	case "worker":
		err = work(o)
	case "start":
		err = start(o)
	default:
		err = fmt.Errorf("unknown command %q", command)
	}
	if err != nil {
		fail(err)
	}
}

// Assay sleeps, then lets the activity answer: with a sleep longer than a
// token's life the end is reached only on a rotated one.
func Assay(ctx workflow.Context, name string, pauseMillis int64) (string, error) {
	if err := workflow.Sleep(ctx, time.Duration(pauseMillis)*time.Millisecond); err != nil {
		return "", err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	var answer string
	err := workflow.ExecuteActivity(ctx, ActivityName, name).Get(ctx, &answer)
	return answer, err
}

// Strike is the activity.
func Strike(_ context.Context, name string) (string, error) {
	return "struck " + name, nil
}

func work(o options) error {
	c, err := dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, o.taskQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(Assay, workflow.RegisterOptions{Name: WorkflowName})
	w.RegisterActivityWithOptions(Strike, activity.RegisterOptions{Name: ActivityName})
	if err := w.Start(); err != nil {
		return err
	}
	fmt.Println("READY")
	<-worker.InterruptCh()
	w.Stop()
	return nil
}

func start(o options) error {
	ctx, cancel := context.WithTimeout(context.Background(), o.timeout)
	defer cancel()
	c, err := dial(o)
	if err != nil {
		return err
	}
	defer c.Close()
	run, err := c.ExecuteWorkflow(ctx,
		client.StartWorkflowOptions{ID: o.workflowID, TaskQueue: o.taskQueue, WorkflowTaskTimeout: 5 * time.Second},
		WorkflowName, "go", o.pause.Milliseconds())
	if err != nil {
		return err
	}
	var result string
	if err := run.Get(ctx, &result); err != nil {
		return err
	}
	fmt.Println("RESULT", result)
	return nil
}

func dial(o options) (client.Client, error) {
	if o.address == "" {
		return nil, errors.New("-address is wanted")
	}
	settings := client.Options{HostPort: o.address, Namespace: o.namespace}
	if o.tokenFile != "" {
		settings.HeadersProvider = tokenFile(o.tokenFile)
	}
	return client.Dial(settings)
}

// tokenFile is the path of a token; the SDK asks it for headers at every call.
type tokenFile string

func (path tokenFile) GetHeaders(context.Context) (map[string]string, error) {
	token, err := os.ReadFile(string(path))
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, nil
}

// fail prints what went wrong: the name of the gRPC status where there is one,
// on stdout for the script that started us, and the whole story on stderr.
func fail(err error) {
	var refused serviceerror.ServiceError
	var app *temporal.ApplicationError
	switch {
	case errors.As(err, &refused):
		fmt.Println("STATUS", code.Code(refused.Status().Code()))
	case errors.As(err, &app):
		fmt.Println("FAILED", app.Message())
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("TIMEOUT")
	}
	fmt.Fprintln(os.Stderr, "goworker:", err)
	os.Exit(1)
}
