// Command temporal-peer is a whole Temporal server in one process, on loopback
// and in memory, that judges the tokens Assay mints. Its JWT claim mapper and
// its authorizer are the stock ones, so what passes here passes in production.
//
// Everything that differs between two runs (ports, key set address, audience)
// is a ${NAME} in the YAML template and comes from the environment. A name that
// the environment does not hold is an error: with a port left blank the server
// would start, say so, and limp.
//
// It prints one line, "READY host:port", when the frontend serves calls, and
// runs until SIGTERM or SIGINT.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	_ "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite" // registers the store
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"gopkg.in/yaml.v3"
)

const (
	frontendHealth = "temporal.api.workflowservice.v1.WorkflowService"
	startDeadline  = 60 * time.Second
)

func main() {
	template := flag.String("config", "server.yaml", "YAML template of the server's configuration")
	namespaces := flag.String("namespaces", "default", "namespaces to create, separated by commas")
	flag.Parse()

	if err := run(*template, strings.Split(*namespaces, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "temporal-peer:", err)
		os.Exit(1)
	}
}

func run(template string, namespaces []string) error {
	cfg, err := load(template)
	if err != nil {
		return err
	}
	if err := createNamespaces(cfg, namespaces); err != nil {
		return err
	}
	server, err := build(cfg)
	if err != nil {
		return err
	}

	// Start returns only when the server stops, so readiness is told from aside.
	go announce(net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Services["frontend"].RPC.GRPCPort)))
	return server.Start()
}

// load fills the template from the environment and parses it.
func load(template string) (*config.Config, error) {
	text, err := os.ReadFile(template)
	if err != nil {
		return nil, err
	}
	var missing []string
	filled := os.Expand(string(text), func(name string) string {
		value, found := os.LookupEnv(name)
		if !found && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return value
	})
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s wants these in the environment: %s", template, strings.Join(missing, ", "))
	}
	cfg := new(config.Config)
	if err := yaml.Unmarshal([]byte(filled), cfg); err != nil {
		return nil, fmt.Errorf("%s: %w", template, err)
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", template, err)
	}
	return cfg, enforces(&cfg.Global.Authorization)
}

// enforces refuses a configuration under which a test could not fail: with
// either of the two parts left out, the server lets anonymous callers through.
func enforces(authz *config.Authorization) error {
	if authz.Authorizer != "default" || authz.ClaimMapper != "default" {
		return errors.New("authorizer and claimMapper must both be \"default\", or nothing is enforced")
	}
	return nil
}

// createNamespaces writes to the store before the server reads it, so the
// namespaces are there for the first call.
func createNamespaces(cfg *config.Config, names []string) error {
	store := cfg.Persistence.DataStores[cfg.Persistence.DefaultStore].SQL
	for _, name := range names {
		namespace, err := sqlite.NewNamespaceConfig(cfg.ClusterMetadata.CurrentClusterName, name, false, nil)
		if err != nil {
			return fmt.Errorf("namespace %q: %w", name, err)
		}
		if err := sqlite.CreateNamespaces(store, namespace); err != nil {
			return fmt.Errorf("namespace %q: %w", name, err)
		}
	}
	return nil
}

func build(cfg *config.Config) (temporal.Server, error) {
	logger := log.NewZapLogger(log.BuildZapLogger(cfg.Log))
	rules := &cfg.Global.Authorization

	authorizer, err := authorization.GetAuthorizerFromConfig(rules)
	if err != nil {
		return nil, err
	}
	mapper, err := authorization.GetClaimMapperFromConfig(rules, logger)
	if err != nil {
		return nil, err
	}
	// Without this getter the `audience` key of the file would do nothing.
	audience, err := authorization.GetAudienceMapperFromConfig(rules)
	if err != nil {
		return nil, err
	}
	return temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(slices.Sorted(maps.Keys(cfg.Services))),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return mapper }),
		temporal.WithAudienceGetter(func(*config.Config) authorization.JWTAudienceMapper { return audience }),
		temporal.InterruptOn(temporal.InterruptCh()),
	)
}

// announce prints READY once the frontend's own health check says SERVING, or
// ends the process when that takes too long.
func announce(address string) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, "temporal-peer:", err)
		os.Exit(1)
	}
	defer conn.Close()
	health := grpc_health_v1.NewHealthClient(conn)
	wanted := &grpc_health_v1.HealthCheckRequest{Service: frontendHealth}

	for end := time.Now().Add(startDeadline); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		answer, err := health.Check(ctx, wanted)
		cancel()
		if err == nil && answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING {
			fmt.Println("READY", address)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "temporal-peer: the frontend does not serve after", startDeadline)
	os.Exit(1)
}
